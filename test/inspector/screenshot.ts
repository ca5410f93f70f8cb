/** `node test/inspector/screenshot.ts`: makes docs/page.png anew. */
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { EXECUTABLE } from './browser.ts'
import { openShop } from './shop.ts'

const shop = await openShop()
const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'] })
const page = await browser.newPage({ viewport: { width: 1080, height: 660 } })
const get = async (url: string) => { await (await fetch(shop.origin + url)).text() }
const add = async (name: string) => { await fetch(`${shop.origin}/authors`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }) }) }

// What is run for the first time takes longer than it should.
for (let n = 0; n < 50; n++) for (const url of ['/books/slowly', '/books', '/nothing']) await get(url)
for (const url of ['/slow', '/fails', '/books', '/books/slowly', '/nothing']) await get(url)
for (const name of ['Anna', 'Anna']) await add(name)
await shop.app.db.run(async session => { await session.count('Book' as never) })
await page.goto(`${shop.origin}/_db`)
await page.getByRole('link', { name: '/books/slowly' }).first().click()
await page.getByRole('button', { name: 'Explain' }).nth(1).click()
await page.getByRole('cell', { name: /SEARCH/ }).waitFor()
await page.getByRole('heading', { name: '/books/slowly' }).scrollIntoViewIfNeeded()
await page.mouse.move(0, 0)
await page.screenshot({ path: join(import.meta.dirname, '../../docs/page.png') })
await browser.close()
await shop.close()
