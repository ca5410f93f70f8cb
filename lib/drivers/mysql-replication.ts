import type { CommitAnswer, Replication } from './contracts.ts'

/** The GTID of the last commit that this connection has written to the binary log, if this one has. MySQL knows neither it nor such a statement. */
const COMMIT = "begin not atomic declare earlier varchar(255) default @@last_gtid; commit; select if(@@log_bin, if(@@last_gtid = earlier, '', @@last_gtid), null) as position; end"

/** An error does not tell from which of the statements it comes. */
const ANSWER: CommitAnswer = {
  // Of a statement with several results, Kysely gives these as its rows.
  positionIn: ({ rows }) => (rows as { position: string | null }[][])[0]?.[0]?.position ?? undefined,
  isCommitted: false
}

/** Of MariaDB, and as far as the lag goes of MySQL. */
export const MYSQL_REPLICATION: Replication = {
  commit: COMMIT,
  listen: () => ANSWER,
  applied: 'select @@global.gtid_slave_pos as position',
  hasApplied (applied, wanted) {
    const positions = new Map(applied.split(',').map(gtid => [domainOf(gtid), sequenceOf(gtid)]))
    return (positions.get(domainOf(wanted)) ?? -1n) >= sequenceOf(wanted)
  },
  shape: /^\d+-\d+-\d+$/,
  lag: 'show replica status',
  lagIn (row) {
    // In whole seconds, and nothing where one of its threads has stopped.
    const seconds = row?.['Seconds_Behind_Master'] ?? row?.['Seconds_Behind_Source'] ?? undefined
    return seconds === undefined ? undefined : Number(seconds) * 1000
  }
}

/** A GTID is a domain, a server, and a sequence number that each commit of the domain increases. */
function domainOf (gtid: string): string | undefined {
  return gtid.trim().split('-')[0]
}

function sequenceOf (gtid: string): bigint {
  return BigInt(gtid.split('-')[2] ?? 0)
}
