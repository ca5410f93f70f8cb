import { count, element, milliseconds, replaceChildren } from './elements.js'

/** Rows that stay as they are until something new is known: a row that is clicked on must not go away meanwhile. */
const rows = new Map()

/** Shows one row for each request or run, the latest first. */
export function showList (list, summaries, current) {
  const shown = summaries.map(summary => {
    const known = rows.get(summary.id)
    const row = known?.version === summary.version ? known : { version: summary.version, element: rowOf(summary, known?.element) }
    row.element.querySelector('a').setAttribute('aria-current', String(summary.id === current))
    return [summary.id, row]
  })
  rows.clear()
  for (const [id, row] of shown) rows.set(id, row)
  const elements = shown.map(([, { element }]) => element)
  if (elements.length !== list.children.length || elements.some((row, at) => row !== list.children[at])) replaceChildren(list, ...elements)
}

function rowOf (summary, known) {
  const link = known?.querySelector('a') ?? element('a', { href: `#${summary.id}`, data: { key: `row ${summary.id}` } })
  link.replaceChildren(
    element('span.title', { title: titleOf(summary) }, titleOf(summary)),
    statusOf(summary),
    outcomeOf(summary),
    element('span.cost', {}, `${count(summary.statements, 'statement')}, ${milliseconds(summary.databaseTime)} of ${milliseconds(summary.duration)}`),
    element('span.marks', {}, ...marksOf(summary))
  )
  const row = known ?? element('li', {}, link)
  row.classList.toggle('idle', summary.statements === 0 && summary.outcome === undefined)
  return row
}

export function titleOf ({ kind, request, id }) {
  return request === undefined ? `${kind}() #${id}` : `${request.method} ${request.url}`
}

export function statusOf ({ status, isRunning, hasClientLeft }) {
  if (status !== undefined) return element(`span.status.of${Math.floor(status / 100)}xx`, {}, status)
  return hasClientLeft ? element('span.status.left', {}, 'client left') : element('span.status', {}, isRunning && 'running')
}

export function outcomeOf ({ outcome, reason }) {
  return outcome === undefined ? element('span.outcome') : element(`span.outcome.${outcome}`, {}, `${outcome}: ${reason}`)
}

function marksOf ({ repeated, slow, failed }) {
  return [[repeated, 'repeated'], [slow, 'slow'], [failed, 'failed']].filter(([number]) => number > 0).map(([number, what]) => element(`span.mark.${what}`, {}, `${number} ${what}`))
}
