import { NEVER_ANSWERED, type Answer } from './answer.ts'
import type { Contents } from './database/database.ts'
import type { Entry } from './ledger.ts'
import { ACQUIRE_TIMEOUT, LAST_PAUSE } from './limits.ts'
import type { Unit } from './plan.ts'
import { checkWork, type Works } from './works.ts'

/** Something that breaks the promise. */
export interface Violation {
  readonly what: string
  /** The request that it is about, if it is about one. */
  readonly token?: string
}

/** What has become of a unit of work. */
export type Fate = 'whole' | 'absent' | 'torn' | 'repeated'

/** What may have become of it, from what its client was told. */
type Expected = 'whole' | 'absent' | 'either'

/** The code of the reply that says that nobody knows. */
const UNKNOWN = 'FST_SCOPED_DB_COMMIT_UNKNOWN'

/** The code of the reply that says that it is in the first database, and not in the second, or nobody knows. */
const PARTLY = 'FST_SCOPED_DB_PARTLY_COMMITTED'

const WAITED_TOO_LONG = 'FST_SCOPED_DB_ACQUIRE_TIMEOUT'

/** What servers say when they have no place for a connection: there may be one in a moment. */
const NO_PLACE = new Set<string | undefined>(['ER_CON_COUNT_ERROR', '53300'])

/** What a database would say, and nobody else here does. */
const TELLING = /\b(?:entry|counter|insert into|select|update|taken|duplicate)\b|`/i

/**
 * Compares what clients were told with what is in the databases.
 *
 * Answered 2xx or 3xx: all of it is there, once. Answered 4xx or 5xx: none of it is. Not answered, or told that
 * nobody knows: all of it or none. Work after the outcome was done if all of it is there, and only then.
 */
export function check (entries: readonly Entry[], contents: Contents, works: Works): Violation[] {
  return [...entries.flatMap(entry => checkEntry(entry, contents, works)), ...checkStrays(entries, contents), ...checkCounters(contents), ...(contents.differences ?? []).map(what => ({ what }))]
}

/** What has become of the units whose clients were told that nobody knows. */
export function fatesOfUnknown (entries: readonly Entry[], contents: Contents): Fate[] {
  return entries.flatMap(({ request: { unit }, answer }) => unit !== undefined && answer.code === UNKNOWN ? [fateOf(unit, contents)] : [])
}

function checkEntry (entry: Entry, contents: Contents, works: Works): Violation[] {
  const { token, unit } = entry.request
  const fate = unit === undefined ? undefined : fateOf(unit, contents)
  return [
    ...checkUnits(entry, fate, contents),
    ...checkReply(entry),
    ...checkWork(works.of(token), fate, isInDoubt(entry.answer)).map(what => ({ token, what: `${token} to /${entry.request.route.name} ${what}` }))
  ]
}

function checkUnits ({ request, answer }: Entry, fate: Fate | undefined, contents: Contents): Violation[] {
  const { token, route, unit, runUnit, secondUnit } = request
  const told = answer.status === undefined ? 'got no answer' : `was answered ${answer.status}${answer.code === undefined ? '' : ` (${answer.code})`}`
  const expected = route.answersFirst === true && isGood(answer) ? 'either' : expectedOf(answer)
  return [
    ...violationOf(unit, expected, contents).map(fate => ({ token, what: `${token} to /${route.name} ${told}, but its unit of work is ${fate}` })),
    ...violationOf(runUnit, expectedOfRun(answer), contents).map(fate => ({ token, what: `the db.run() of ${token}, which ${told}, is ${fate}` })),
    ...violationOf(secondUnit, expectedOfSecond(answer, fate), contents).map(fate => ({ token, what: `${token} to /${route.name} ${told}, but its second database has it ${fate}` }))
  ]
}

function violationOf (unit: Unit | undefined, expected: Expected, contents: Contents): Fate[] {
  if (unit === undefined) return []
  const fate = fateOf(unit, contents)
  return fate === expected || (expected === 'either' && (fate === 'whole' || fate === 'absent')) ? [] : [fate]
}

function isGood ({ status = 500 }: Answer): boolean {
  return status < 400
}

function expectedOf (answer: Answer): Expected {
  if (answer.code === PARTLY) return 'whole'
  if (answer.status === undefined || isUnknown(answer)) return 'either'
  return isGood(answer) ? 'whole' : 'absent'
}

/** Whether the client was told that nobody knows, or would have been, had it read more than the status. */
function isUnknown ({ status, code, isRead }: Answer): boolean {
  return code === UNKNOWN || (status === 500 && !isRead)
}

/** Whether the client was told that it may not be in each of the databases. */
function isInDoubt ({ code }: Answer): boolean {
  return code === UNKNOWN || code === PARTLY
}

/** It has an outcome of its own, which the reply tells in a header if it was a commit. */
function expectedOfRun (answer: Answer): Expected {
  if (answer.hasRun === true) return 'whole'
  return answer.status === undefined || isUnknown(answer) ? 'either' : 'absent'
}

/** The second database commits only once the first has, which nobody knows after the code for that. */
function expectedOfSecond (answer: Answer, first: Fate | undefined): Expected {
  if (answer.code === UNKNOWN || first === 'absent') return 'absent'
  return answer.code === PARTLY ? 'either' : expectedOf(answer)
}

function fateOf ({ token, parts }: Unit, { parts: all }: Contents): Fate {
  const found = all.get(token)
  if (found === undefined) return 'absent'
  if (String(found) === String(parts)) return 'whole'
  return new Set(found).size < found.length ? 'repeated' : 'torn'
}

/** Every request must be answered, error replies must not repeat what the database says, and who has waited too long must be told when to come back. */
function checkReply ({ request: { token, route: { name } }, answer: { status, code, body, retryAfter, error }, took }: Entry): Violation[] {
  if (error === NEVER_ANSWERED) return [{ token, what: `${token} to /${name} was ${NEVER_ANSWERED}` }]
  if (status === undefined || status < 500) return []
  const found: Violation[] = []
  if (TELLING.test(textIn(body))) found.push({ token, what: `the error reply to ${token} tells of the database: ${body}` })
  if (NO_PLACE.has(code) && took < ACQUIRE_TIMEOUT - LAST_PAUSE) found.push({ token, what: `${token} to /${name} waited only ${Math.round(took)} ms for the server to have a place` })
  if (code === WAITED_TOO_LONG && (status !== 503 || retryAfter === undefined)) {
    found.push({ token, what: `${token} to /${name} waited too long for a connection and got ${status}, Retry-After: ${retryAfter}` })
  }
  return found
}

/** All of a body but its code, which may be one of the database. */
function textIn (body = ''): string {
  try {
    const { code: _, ...rest } = JSON.parse(body) as { code?: unknown }
    return Object.values(rest).join('\n')
  } catch {
    return body
  }
}

function checkStrays (entries: readonly Entry[], { parts }: Contents): Violation[] {
  const known = new Set(entries.flatMap(({ request: { unit, runUnit, secondUnit } }) => [unit?.token, runUnit?.token, secondUnit?.token]))
  return [...parts.keys()].filter(token => !known.has(token)).map(token => ({ what: `${token} is in the database, and nobody sent it` }))
}

/** An update that was lost, or made without its unit of work. */
function checkCounters ({ counters }: Contents): Violation[] {
  return counters.filter(({ value, named }) => value !== named).map(({ id, value, named }) => ({ what: `counter ${id} is ${value}, but ${named} units of work have raised it` }))
}
