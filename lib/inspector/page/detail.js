import { count, element, milliseconds, replaceChildren } from './elements.js'
import { outcomeOf, statusOf, titleOf } from './list.js'
import { explanationOf, statementActions } from './statement-actions.js'
import { isWorthTelling, legend, segmentsOf, timeline, track } from './timeline.js'

/**
 * Shows all that is known of one request or run.
 * @param {{ hasValues: boolean, toggleValues: () => void, close: () => void, again: () => void }} page
 */
export function showDetail (article, detail, page) {
  const segments = segmentsOf(detail)
  const whole = Math.max(detail.duration, ...segments.map(({ to }) => to))
  replaceChildren(article,
    element('div.heading', {},
      element('h2', { tabIndex: -1, data: { key: 'heading' } }, titleOf(detail)),
      element('button', { type: 'button', click: page.close, data: { key: 'close' } }, 'Close')),
    element('p.facts', {}, statusOf(detail), outcomeOf(detail), detail.error !== undefined && element('span.mark.failed', {}, detail.message ?? detail.error)),
    factsOf(detail),
    timeline(segments, whole),
    legend(segments),
    ...hintsOf(detail),
    element('label.values', {}, element('input', { type: 'checkbox', checked: page.hasValues, change: page.toggleValues, data: { key: 'values' } }), 'Show values'),
    element('ol.statements', {}, ...segments.filter(segment => isWorthTelling(segment, whole)).map(segment => line(segment, whole, detail, page))),
    detail.leftOut > 0 && element('p.hint', {}, `${count(detail.leftOut, 'more statement was', 'more statements were')} sent, and not kept.`)
  )
}

function factsOf ({ request, time, duration, databaseTime, statements, waited, held }) {
  const facts = [
    ['began', new Date(time).toLocaleTimeString('en-GB')],
    ['took', milliseconds(duration)],
    ['in the database', milliseconds(databaseTime)],
    ['statements', statements],
    ['connection waited for', milliseconds(waited)],
    ['connection held', milliseconds(held)],
    ...request === undefined ? [] : [['route', request.route ?? 'none'], ['id', request.id]]
  ]
  return element('dl', {}, ...facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))))
}

/** What is sent over and over, for one row at a time. */
function hintsOf ({ sent }) {
  const repeated = Map.groupBy(sent.filter(({ repeated }) => repeated > 0), ({ sql }) => sql)
  return [...repeated].map(([sql, { length }]) => element('p.hint.repeated', {}, `Sent ${length} times. Could one statement do it? `, element('code', {}, sql)))
}

function line (segment, whole, detail, page) {
  const { what, from, to, label, statement } = segment
  const time = element('span.time', {}, what === 'reply' ? `at ${milliseconds(from)}` : milliseconds(to - from))
  const isPlain = statement === undefined || statement.kind === 'control'
  return element(`li.${what}${isPlain ? '.plain' : ''}`, {},
    ...isPlain ? [element('span.what', {}, label), time] : [element('p.told', {}, element(`span.kind.${what}`, {}, statement.kind), time, ...marksOf(statement)), element('pre', {}, statement.sql)],
    ...statement === undefined ? [] : partsOf(statement),
    ...isPlain ? [] : [statementActions(detail, segment.index, page), explanationOf(detail, segment.index)],
    track(segment, whole))
}

function marksOf ({ rows, repeated, isSlow, inTransaction, database }) {
  return [
    rows !== undefined && element('span', {}, count(rows, 'row')),
    !inTransaction && element('span', {}, 'outside a transaction'),
    database !== 'default' && element('span', {}, database),
    repeated > 0 && element('span.mark.repeated', {}, `repeated ${repeated} times`),
    isSlow && element('span.mark.slow', {}, 'slow')
  ]
}

function partsOf ({ place, error, message, values }) {
  return [
    error !== undefined && element('p.mark.failed', {}, message ?? error),
    values !== undefined && values.length > 0 && element('ol.parameters', {}, ...values.map(value => element('li', {}, element('code', {}, value)))),
    place !== undefined && element('p.place', {}, place)
  ]
}
