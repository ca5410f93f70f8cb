/**
 * Makes an element. What comes from the application goes in as text, never as markup.
 * @param {string} tag with the classes that it has: `p.place`
 * @param {Record<string, unknown>} properties those of the element; functions are listeners; `data` goes to its data attributes
 * @param {...(Node | string | number | false | undefined)} children
 */
export function element (tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.')
  const made = document.createElement(name)
  made.classList.add(...classes)
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined) continue
    if (typeof value === 'function') made.addEventListener(key, value)
    else if (key === 'data') Object.assign(made.dataset, value)
    else if (key in made) made[key] = value
    else made.setAttribute(key, String(value))
  }
  made.append(...nodesOf(children))
  return made
}

function nodesOf (children) {
  return children.filter(child => child !== undefined && child !== false).map(child => child instanceof Node ? child : String(child))
}

/** Puts new children in the place of the old, and the focus where it was. */
export function replaceChildren (parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined
  parent.replaceChildren(...nodesOf(children))
  if (key !== undefined) [...parent.querySelectorAll('[data-key]')].find(element => element.dataset.key === key)?.focus({ preventScroll: true })
}

/** Milliseconds, as exactly as they are of use. */
export function milliseconds (time) {
  if (time === undefined) return '…'
  return `${time < 10 ? time.toFixed(1) : Math.round(time).toLocaleString('en')} ms`
}

export function count (number, one, several = `${one}s`) {
  return `${number} ${number === 1 ? one : several}`
}
