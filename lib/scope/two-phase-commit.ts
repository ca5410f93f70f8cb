import { CommitUnknownError, EndlessFlushError, PartlyCommittedError } from '../errors/errors.ts'
import type { Participant } from '../session/participant.ts'
import { together } from '../waiting.ts'
import type { PreparedCommit, Ready } from '../transaction/contracts.ts'

interface Part {
  readonly name: string
  readonly prepared: PreparedCommit
}

/** How to commit. */
export interface CommitOptions {
  /** What to wait for before the first COMMIT; a statement that comes first ends the wait and runs after the COMMIT. */
  readonly ready?: Ready | undefined
  /** Given, it is the last commit, and only plain reads come after it. */
  readonly outcome?: string | undefined
  /** Is called ahead of the first COMMIT, and throws when what was to be committed is gone. */
  readonly assertWhole: () => void
}

/** What has become of a unit of work that was not committed as a whole: the names of its databases. */
interface CommitReport {
  readonly committed: string[]
  readonly notCommitted: string[]
  readonly unknown: string[]
}

/**
 * Commits those who take part in a scope; COMMIT itself is sent by lib/transaction/active-transaction.ts. What can fail fails before the first COMMIT: all are flushed, subscribers are told, and none
 * lets a statement through any more. Only what a database says to COMMIT itself is left then.
 *
 * It is the first half of what zope's `transaction` does in two phases (`tpc_vote`); for the second, databases would have to
 * promise that they will commit, which XA could ask of them at the price of two more round trips each.
 *
 * @param automatic those whose transactions are committed together
 * @param manual plain MikroORM, which commits each by itself, first
 * @throws PartlyCommittedError when a COMMIT has failed after an earlier one went through
 * @throws what the flush, a subscriber, the first COMMIT, `ready` or `assertWhole` throws. Whatever was thrown, the caller is to roll back
 */
export async function commitTogether (automatic: readonly Participant[], manual: readonly Participant[], options: CommitOptions): Promise<void> {
  // Even if there is nothing to wait for: whoever has asked for the commit is to hold its reply before subscribers are told.
  await together(automatic.map(participant => participant.savepointsOver()))
  for (const participant of automatic) if (participant.isDirty()) await participant.flush()
  for (const participant of manual) await participant.commitByHand()
  for (const { transactions } of automatic) {
    const announced = transactions.announceCommit()
    if (announced !== undefined) await announced
  }
  let parts = await commitUnlessChanged(automatic, options)
  for (let n = 0; parts === undefined; n++) {
    const isLast = !await flushEach(automatic)
    if (n === MOST_ROUNDS) throw new EndlessFlushError(n)
    parts = await commitUnlessChanged(automatic, { ...options, ready: undefined }, isLast)
  }
  for (const { prepared } of parts) {
    const announced = prepared.announceDone()
    if (announced !== undefined) await announced
  }
}

/**
 * Commits, unless something was changed since the flush: by a subscriber, by what runs beside, or while this waited.
 * @param isSure that nothing was: in doubt something was
 * @returns what was committed
 */
async function commitUnlessChanged (automatic: readonly Participant[], { ready, outcome, assertWhole }: CommitOptions, isSure = false): Promise<Part[] | undefined> {
  const parts: Part[] = []
  try {
    for (const { database, transactions } of automatic) parts.push({ name: database.name, prepared: await transactions.prepareCommit() })
    const isReady = whenReady(parts, ready)
    if (isReady !== undefined) await isReady
    if (automatic.some(participant => participant.hasSavepoints || (!isSure && participant.hasUnflushed()))) return undefined
    assertWhole()
    await commitEach(parts, outcome)
    return parts
  } finally {
    for (const { prepared } of parts) prepared.release()
  }
}

/** @returns whether there was anything to flush */
async function flushEach (automatic: readonly Participant[]): Promise<boolean> {
  let hadAnything = false
  for (const participant of automatic) {
    await participant.savepointsOver()
    if (await participant.flush()) hadAnything = true
  }
  return hadAnything
}

/** How often something may have changed again: more than once or twice is a circle. */
const MOST_ROUNDS = 100

function whenReady (parts: Part[], ready: Ready | undefined): Promise<unknown> | undefined {
  if (ready === undefined) return undefined
  const begun = parts.filter(hasBegun)
  return begun.length === 0 ? undefined : Promise.race([ready(), ...begun.map(({ prepared }) => prepared.hasWaiter())])
}

async function commitEach (parts: Part[], outcome: string | undefined): Promise<void> {
  for (const [n, { prepared }] of parts.entries()) {
    try {
      await prepared.commit(outcome)
    } catch (error) {
      throw failure(error, parts, n)
    }
  }
}

/** What to throw when the COMMIT of `parts[failed]` has failed with `error`. */
function failure (error: unknown, parts: Part[], failed: number): unknown {
  const names = (some: Part[]) => some.filter(hasBegun).map(({ name }) => name)
  const isUnknown = error instanceof CommitUnknownError
  const report: CommitReport = {
    committed: names(parts.slice(0, failed)),
    notCommitted: names(parts.slice(isUnknown ? failed + 1 : failed)),
    unknown: isUnknown ? names(parts.slice(failed, failed + 1)) : []
  }
  if (report.committed.length > 0) return Object.assign(new PartlyCommittedError(), { report, cause: error })
  return isUnknown ? Object.assign(error, { report }) : error
}

function hasBegun ({ prepared }: Part): boolean {
  return prepared.hasBegun
}

/** What is known of a commit that failed, if it was not simply rolled back in all of several databases. */
export function reportOf (error: unknown): CommitReport | undefined {
  const { report } = Object(error) as { report?: CommitReport }
  return report !== undefined && Object.values(report).flat().length > 1 ? report : undefined
}
