import { element, milliseconds } from './elements.js'

/** The shortest wait, or time that the application takes by itself, that has a line of its own: as a part of the whole. */
const SHORTEST = 0.01

/**
 * What has happened, one after the other: waits for a connection, statements, and what the application did in between.
 * @returns {{ what: string, from: number, to: number, label: string, statement?: object, index?: number }[]}
 */
export function segmentsOf ({ connections, sent, duration, replied, hasClientLeft }) {
  const waits = connections.map(({ at, waited, database }) => ({ what: 'wait', from: at, to: at + (waited ?? duration - at), label: `wait for a connection to ${database}` }))
  const statements = sent.map((statement, index) => ({ what: kindOf(statement), from: statement.at, to: statement.at + (statement.duration ?? duration - statement.at), label: statement.sql, statement, index }))
  const busy = [...waits, ...statements].sort((one, other) => one.from - other.from || one.to - other.to)
  const all = []
  let until = 0
  for (const segment of busy) {
    if (segment.from > until) all.push(gap(until, segment.from))
    all.push(segment)
    until = Math.max(until, segment.to)
  }
  const end = replied ?? duration
  if (end > until) all.push(gap(until, end))
  if (replied !== undefined) all.push({ what: 'reply', from: replied, to: replied, label: hasClientLeft ? 'the client has left' : 'the reply is out' })
  return all
}

function gap (from, to) {
  return { what: 'code', from, to, label: 'the application’s own code' }
}

function kindOf ({ kind, sql }) {
  if (kind !== 'control') return kind === 'write' ? 'write' : 'read'
  return /^\s*(commit|rollback|begin)/i.exec(sql)?.[1].toLowerCase() ?? 'control'
}

/** All of it on one line, to scale. */
export function timeline (segments, whole) {
  const title = segments.map(({ what, from, to }) => `${what} ${milliseconds(to - from)}`).join(', ')
  return element('div.timeline', { role: 'img', ariaLabel: `Timeline: ${title}` }, ...segments.map(segment => bar(segment, whole)))
}

/** One of them, at its place on the same scale. */
export function track (segment, whole) {
  return element('div.track', { ariaHidden: 'true' }, bar(segment, whole))
}

function bar ({ what, from, to, label }, whole) {
  const made = element(`i.${what}`, { title: `${label.slice(0, 200)}: ${milliseconds(to - from)}` })
  const percent = time => `${whole > 0 ? 100 * time / whole : 0}%`
  made.style.left = percent(from)
  made.style.width = percent(to - from)
  return made
}

/** What its colours mean. */
export function legend (segments) {
  return element('ul.legend', {}, ...[...new Set(segments.map(({ what }) => what))].map(what => element('li', {}, element(`i.${what}`), what === 'code' ? 'own code' : what)))
}

/** Whether it is worth a line. */
export function isWorthTelling ({ what, from, to }, whole) {
  return (what !== 'code' && what !== 'wait') || to - from >= SHORTEST * whole
}
