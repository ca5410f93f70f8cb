import { element } from './elements.js'

/** What came of buttons, by the statement: what is shown anew must not lose it. */
const explanations = new Map()
const keyOf = ({ id }, index) => `${id} ${index}`

/** Buttons for one statement. */
export function statementActions (detail, index, { again }) {
  const { isExplainable } = detail.sent[index]
  const said = element('output')
  const copied = async () => { said.textContent = await copy(detail, index) }
  const explained = async () => {
    const reply = await fetch(`requests/${detail.id}/statements/${index}/explain`, { method: 'POST' })
    explanations.set(keyOf(detail, index), await reply.json())
    again()
  }
  return element('p.actions', {},
    element('button', { type: 'button', click: copied, data: { key: `copy ${index}` } }, 'Copy SQL'),
    isExplainable && element('button', { type: 'button', click: explained, data: { key: `explain ${index}` } }, 'Explain'),
    said)
}

/** The plan of a statement, if it was asked for. */
export function explanationOf (detail, index) {
  const plan = explanations.get(keyOf(detail, index))
  if (plan === undefined) return undefined
  if (plan.message !== undefined) return element('p.mark.failed', {}, plan.message)
  const cells = (tag, row) => element('tr', {}, ...row.map(cell => element(tag, {}, cell)))
  return element('div.plan', {}, element('table', {}, element('thead', {}, cells('th', plan.columns)), element('tbody', {}, ...plan.rows.map(row => cells('td', row)))))
}

/** Values are asked for only now. */
async function copy ({ id }, index) {
  const reply = await fetch(`requests/${id}.json?values=true`)
  const { sent } = await reply.json()
  const { sql, runnable } = sent?.[index] ?? {}
  if (sql === undefined) return 'it is not kept any more'
  await toClipboard(runnable ?? sql)
  return runnable === undefined ? 'copied without its values: they are too large, or it is not certain where each belongs' : 'copied'
}

/** Browsers have a clipboard only where a page cannot be changed on its way. */
async function toClipboard (text) {
  if (navigator.clipboard !== undefined) {
    await navigator.clipboard.writeText(text)
    return
  }
  const area = element('textarea', { value: text })
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}
