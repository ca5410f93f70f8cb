import type { DatabaseConnection } from 'kysely'
import type { CommitAnswer, Replication } from './contracts.ts'

/** How long a page of the log is, and the longest header that one begins with. */
const PAGE = 8192n
const HEADER = 40n

const UNHEARD: CommitAnswer = { positionIn: () => undefined, isCommitted: false }

/** @param nextCommit listens to what comes back for the next message: Kysely gives nothing of several results */
export function postgresqlReplication (nextCommit: (connection: DatabaseConnection) => CommitAnswer | undefined): Replication {
  return {
    // Up to where the log is written, without the "insert", may not be as far as this commit where it does not wait for that.
    commit: 'commit; select case when not pg_is_in_recovery() then pg_current_wal_insert_lsn() end',
    listen: connection => nextCommit(connection) ?? UNHEARD,
    applied: 'select pg_last_wal_replay_lsn()::text as position',
    hasApplied: (applied, wanted) => bytesOf(applied) >= endOf(bytesOf(wanted)),
    shape: /^[0-9A-F]+\/[0-9A-F]+$/,
    // Nothing has come that was not applied; or how old is what was applied last.
    lag: 'select case when exists (select pid from pg_stat_wal_receiver) and pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0 ' +
      'else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 end::float8 as lag where pg_is_in_recovery()',
    lagIn (row) {
      const lag = row?.['lag'] ?? undefined
      return lag === undefined ? undefined : Number(lag)
    }
  }
}

/** A position such as `16/B374D848`: both halves of a number, in hexadecimal. */
function bytesOf (lsn: string): bigint {
  const [high, low] = lsn.split('/')
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`)
}

/** Where the next record begins is behind the header of its page; the one before it ended ahead of that. */
function endOf (position: bigint): bigint {
  const offset = position % PAGE
  return offset <= HEADER ? position - offset : position
}
