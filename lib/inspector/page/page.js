import { showDetail } from './detail.js'
import { showList } from './list.js'

const at = id => document.getElementById(id)
const [list, article, search, only, live, empty] = ['requests', 'detail', 'search', 'only', 'live', 'empty'].map(at)

/** What is shown now. */
const state = { detail: undefined, hasValues: false }

/** Runs `work`, and once more when it was asked for meanwhile. */
function oneAtATime (work) {
  let isRunning = false
  let isWanted = false
  return async () => {
    isWanted = true
    if (isRunning) return
    isRunning = true
    try {
      while (isWanted) {
        isWanted = false
        await work()
      }
    } catch {
      // The events tell when the server is there again.
      live.textContent = 'disconnected'
    } finally {
      isRunning = false
    }
  }
}

const refresh = oneAtATime(async () => {
  const query = new URLSearchParams([['search', search.value], ['only', only.value]].filter(([, value]) => value !== ''))
  const reply = await fetch(`requests.json?${query}`)
  const summaries = await reply.json()
  showList(list, summaries, currentId())
  empty.hidden = summaries.length > 0
  empty.textContent = query.size > 0 ? 'None is like that.' : 'Nothing yet. What the application does from now on comes here by itself.'
})

const refreshDetail = oneAtATime(async () => {
  const id = currentId()
  const isOpen = Number.isInteger(id)
  document.body.classList.toggle('open', isOpen)
  article.hidden = !isOpen
  if (!isOpen) return
  const reply = await fetch(`requests/${id}.json?values=${state.hasValues}`)
  state.detail = await reply.json()
  if (reply.ok) show()
  else article.textContent = state.detail.message
})

function show () {
  showDetail(article, state.detail, {
    hasValues: state.hasValues,
    toggleValues () {
      state.hasValues = !state.hasValues
      refreshDetail()
    },
    close,
    again: show
  })
}

function currentId () {
  return location.hash === '' ? undefined : Number(location.hash.slice(1))
}

function close () {
  const link = list.querySelector('[aria-current=true]')
  location.hash = ''
  link?.focus()
}

const KEYS = {
  '/' () { search.focus() },
  Escape () { close() },
  ArrowDown () { move(1) },
  ArrowUp () { move(-1) },
  j () { move(1) },
  k () { move(-1) }
}

/** Moves the focus in the list. */
function move (step) {
  const links = [...list.querySelectorAll('a')]
  const now = links.findIndex(link => link === document.activeElement)
  const from = now >= 0 ? now : links.findIndex(link => link.getAttribute('aria-current') === 'true')
  links[from < 0 ? 0 : Math.min(Math.max(from + step, 0), links.length - 1)]?.focus()
}

document.addEventListener('keydown', event => {
  const isTyping = event.target === search || event.target === only
  if (event.ctrlKey || event.metaKey || event.altKey || (isTyping && event.key !== 'Escape')) return
  if (isTyping) event.target.blur()
  else if (Object.hasOwn(KEYS, event.key) && !(event.key.startsWith('Arrow') && article.contains(event.target))) {
    event.preventDefault()
    KEYS[event.key]()
  }
})

search.addEventListener('input', refresh)
only.addEventListener('change', refresh)
window.addEventListener('hashchange', async () => {
  await Promise.all([refresh(), refreshDetail()])
  article.querySelector('h2')?.focus()
})

const events = new EventSource('events')
events.addEventListener('open', () => {
  live.textContent = 'live'
  refresh()
  refreshDetail()
})
events.addEventListener('error', () => { live.textContent = 'disconnected' })
events.addEventListener('changed', ({ data }) => {
  refresh()
  if (JSON.parse(data).includes(currentId())) refreshDetail()
})
