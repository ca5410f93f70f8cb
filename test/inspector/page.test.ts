/** The page of the inspector in a real browser. */
import t from 'tap'
import { closeBrowser, openPage } from './browser.ts'

void t.test('what comes is there by itself, and what runs', async t => {
  const { shop, page, get } = await openPage(t)
  await page.getByText('Nothing yet').waitFor()
  await get('/books')
  const row = page.getByRole('link', { name: 'GET /books' })
  await row.waitFor()
  t.match(await row.innerText(), /200[^]*commit: status 200[^]*1 statement, /)
  const held = Promise.withResolvers<void>()
  const run = shop.app.db.run(async session => { await session.count('Book' as never); await held.promise; return 0 })
  await page.getByRole('link', { name: 'db.run()' }).getByText('running').waitFor()
  held.resolve()
  await run
  await page.getByRole('link', { name: 'db.run()' }).getByText('commit: db.run() has ended').waitFor()
})

void t.test('opened: the timeline is to scale, and statements have times, rows and places', async t => {
  const { shop, page } = await openPage(t)
  await fetch(`${shop.origin}/authors`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"Ann"}' })
  await page.getByRole('link', { name: 'POST /authors' }).click()
  await page.getByRole('heading', { name: 'POST /authors' }).waitFor()
  const detail = async () => await (await fetch(`${shop.origin}/_db/requests/1.json`)).json() as { isRunning: boolean, sent: { sql: string, at: number, duration: number }[], replied: number, duration: number }
  // It may be shown before it is over.
  while ((await detail()).isRunning);
  const { sent, replied, duration } = await detail()
  await page.reload()
  await page.getByRole('heading', { name: 'POST /authors' }).waitFor()
  const bars = await page.locator('.timeline i').evaluateAll(bars => bars.map(bar => ({ what: bar.className, left: parseFloat((bar as unknown as { style: { left: string } }).style.left) })))
  for (const [what, at] of [['begin', sent[0]?.at], ['write', sent[1]?.at], ['commit', sent[2]?.at], ['reply', replied]] as const) {
    const bar = bars.find(bar => bar.what === what)
    t.equal(Math.round((bar?.left ?? -1) * 10), Math.round(1_000 * Number(at) / duration), what)
  }
  t.same([...new Set(bars.map(({ what }) => what))].sort(), ['begin', 'code', 'commit', 'reply', 'wait', 'write'])
  const statement = page.locator('.statements > li.write')
  t.match(await statement.innerText(), /write\s+[\d.]+ ms\s+1 row[^]*insert into `author`/)
  await page.goto(`${shop.origin}/_db/#1`)
  await page.reload()
  await page.getByRole('heading', { name: 'POST /authors' }).waitFor()
})

void t.test('a statement for each row is marked, with its place in the code', async t => {
  const { page, get } = await openPage(t)
  await get('/books/slowly')
  await get('/books')
  await get('/slow')
  const row = page.getByRole('link', { name: '/books/slowly' })
  await row.getByText('1 repeated').waitFor()
  await page.getByRole('link', { name: 'GET /slow' }).getByText('1 slow').waitFor()
  t.equal(await page.getByText('1 repeated').count(), 1, 'nothing else')
  await row.click()
  await page.getByText('Sent 4 times. Could one statement do it?').waitFor()
  t.equal(await page.getByText('repeated 4 times').count(), 4)
  t.match(await page.locator('.place').first().innerText(), /^test\/inspector\/shop\.ts:\d+:\d+$/)
})

void t.test('searching and filtering', async t => {
  const { page, get } = await openPage(t)
  for (const url of ['/books', '/books/slowly', '/fails', '/nothing']) await get(url)
  const shows = async (expected: readonly string[], what: string) => {
    await page.waitForFunction(expected => [...document.querySelectorAll('#requests .title')].map(title => title.textContent).join() === expected, expected.join())
    t.pass(what)
  }
  await shows(['GET /nothing', 'GET /fails', 'GET /books/slowly', 'GET /books'], 'the latest first')
  await page.getByRole('searchbox').fill('FROM `author`')
  await shows(['GET /books/slowly'], 'in SQL')
  await page.getByRole('searchbox').fill('nowhere to be found')
  await shows([], 'nothing')
  await page.getByText('None is like that.').waitFor()
  await page.getByRole('searchbox').fill('')
  for (const [only, expected] of [['failed', ['GET /nothing', 'GET /fails']], ['repeated', ['GET /books/slowly']], ['rollback', ['GET /fails']], ['statements', ['GET /fails', 'GET /books/slowly', 'GET /books']]] as const) {
    await page.getByRole('combobox').selectOption(only)
    await shows(expected, only)
  }
  await get('/nothing')
  await get('/books')
  await shows(['GET /books', 'GET /fails', 'GET /books/slowly', 'GET /books'], 'what comes is filtered, too')
})

void t.test('values are hidden until asked for; SQL to be run is copied; a plan is asked for', async t => {
  const { page, get, shop } = await openPage(t)
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: shop.origin })
  await get('/fails')
  await get('/books/slowly')
  await page.getByRole('link', { name: 'GET /fails' }).click()
  await page.getByText('select * from nowhere where secret = ?').waitFor()
  t.notMatch(await page.content(), 'hunter2')
  t.notMatch(await page.content(), 'no such table')
  await page.getByRole('checkbox', { name: 'Show values' }).check()
  await page.getByText("'hunter2'").waitFor()
  await page.getByText('no such table').waitFor()
  await page.getByRole('checkbox', { name: 'Show values' }).uncheck()
  await page.getByText("'hunter2'").waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Copy SQL' }).click()
  await page.getByText('copied', { exact: true }).waitFor()
  t.equal(await page.evaluate(async () => await navigator.clipboard.readText()), "select * from nowhere where secret = 'hunter2'")
  await page.getByRole('button', { name: 'Explain' }).click()
  await page.getByText('no such table').waitFor()

  await page.getByRole('link', { name: '/books/slowly' }).click()
  await page.getByRole('heading', { name: '/books/slowly' }).waitFor()
  await page.getByRole('button', { name: 'Explain' }).nth(1).click()
  await page.getByRole('cell', { name: /SEARCH a0 USING/ }).waitFor()
  await get('/books')
  await page.waitForFunction(() => document.querySelectorAll('#requests a').length === 3)
  t.equal(await page.getByRole('cell', { name: /SEARCH a0 USING/ }).count(), 1, 'and stays')
})

void t.test('hostile URLs, SQL, values and errors are text', async t => {
  const { page, get } = await openPage(t)
  const markup = '<img src=x onerror=alert(1)><script>alert(2)</script>'
  await get(`/hostile/${encodeURIComponent(markup)}?id=${encodeURIComponent(markup)}&raw=<b>"'\`${'x'.repeat(3_000)}`)
  await page.getByRole('link', { name: '/hostile/' }).click()
  await page.getByRole('checkbox', { name: 'Show values' }).check()
  await page.getByText(`'${markup}'`).waitFor()
  t.match(await page.locator('.statements pre').first().innerText(), `select ? as "${markup}"`)
  t.same(await page.evaluate(() => [document.images.length, document.scripts.length, document.querySelectorAll('#detail b').length]), [0, 1, 0])
  t.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'nothing is wider than the page')
  await page.goto(`${page.url().split('#')[0]}#<img src=x onerror=alert(3)>`)
  await page.locator('#requests a').first().waitFor()
  t.equal(await page.evaluate(() => document.images.length), 0)
})

void t.test('with the keyboard alone', async t => {
  const { page, get } = await openPage(t)
  for (const url of ['/books', '/fails', '/nothing']) await get(url)
  await page.waitForFunction(() => document.querySelectorAll('#requests a').length === 3)
  const focused = async () => await page.evaluate(() => document.activeElement?.textContent ?? '')
  await page.keyboard.press('ArrowDown')
  t.match(await focused(), 'GET /nothing')
  await page.keyboard.press('j')
  t.match(await focused(), 'GET /fails')
  await get('/books')
  await page.waitForFunction(() => document.querySelectorAll('#requests a').length === 4)
  t.match(await focused(), 'GET /fails', 'what comes does not take the focus away')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'GET /fails' }).waitFor()
  await page.waitForFunction(() => document.activeElement?.tagName === 'H2')
  for (const name of ['Close', 'values', 'Copy SQL', 'Explain']) {
    await page.keyboard.press('Tab')
    t.match(await page.evaluate(() => `${document.activeElement?.textContent}${document.activeElement?.parentElement?.textContent}`), name)
  }
  await page.keyboard.press('Enter')
  await page.getByText('no such table').waitFor()
  t.equal(await focused(), 'Explain', 'what is shown anew does not take it away either')
  await page.keyboard.press('Escape')
  await page.getByRole('heading', { name: 'GET /fails' }).waitFor({ state: 'hidden' })
  t.match(await focused(), 'GET /fails')
  await page.keyboard.press('/')
  await page.keyboard.type('books')
  await page.waitForFunction(() => document.querySelectorAll('#requests a').length === 2)
  await page.keyboard.press('Escape')
  await page.keyboard.press('k')
  t.match(await focused(), 'GET /books')
})

const brightness = () => getComputedStyle(document.body).backgroundColor.match(/\d+/g)?.slice(0, 3).reduce((sum, part) => sum + Number(part), 0) ?? -1

void t.test('in the dark', async t => {
  const { page } = await openPage(t, { colorScheme: 'dark' })
  t.ok(await page.evaluate(brightness) < 150)
  await page.emulateMedia({ colorScheme: 'light' })
  t.ok(await page.evaluate(brightness) > 600)
})

void t.test('on a phone', async t => {
  const { page, get } = await openPage(t, { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true })
  await get('/books/slowly')
  const row = page.getByRole('link', { name: '/books/slowly' })
  await row.tap()
  await page.getByRole('heading', { name: '/books/slowly' }).waitFor()
  t.equal(await row.isVisible(), false, 'one thing at a time')
  t.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360)
  const { height = 0 } = await page.getByRole('button', { name: 'Explain' }).first().boundingBox() ?? {}
  t.ok(height >= 36, 'large enough for a finger')
  await page.getByRole('button', { name: 'Close' }).tap()
  await row.waitFor()
})

const last = t.test('it says so when the server is gone, and when it is there again', async t => {
  const { page } = await openPage(t)
  await page.route('**/events', async route => { await route.abort() })
  await page.reload()
  await page.getByText('disconnected').waitFor()
  await page.unroute('**/events')
  await page.getByText('live', { exact: true }).waitFor()
  t.pass('it is')
})

// As long as it is open, the tests do not end.
await last
await closeBrowser()
