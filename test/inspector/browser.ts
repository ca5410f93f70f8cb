import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { openShop, type Shop } from './shop.ts'

/** Debian's, unless another one is named. */
export const EXECUTABLE = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** How many milliseconds what is waited for may take. */
const TIMEOUT = 15_000

let browser: Promise<Browser> | undefined

/** The page of a new application, in a browser that knows nothing yet. What goes wrong in it fails the test. */
export async function openPage (t: Test, options: Parameters<Browser['newPage']>[0] = {}): Promise<{ shop: Shop, page: Page, get: (url: string) => Promise<void> }> {
  if (!existsSync(EXECUTABLE)) throw new Error(`there is no ${EXECUTABLE}: apt-get install chromium, or CHROMIUM=path`)
  browser ??= chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'] })
  const shop = await openShop()
  const page = await (await browser).newPage(options)
  page.setDefaultTimeout(TIMEOUT)
  page.on('pageerror', error => { t.fail(error.message) })
  page.on('dialog', dialog => { t.fail(`a dialog: ${dialog.message()}`); void dialog.dismiss() })
  page.on('request', request => { if (!request.url().startsWith(`${shop.origin}/`)) t.fail(`something comes from elsewhere: ${request.url()}`) })
  // Such as what the content security policy refuses; but for replies that are no 2xx.
  page.on('console', message => { if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) t.fail(message.text()) })
  t.teardown(async () => {
    await page.close()
    await shop.close()
  })
  await page.goto(`${shop.origin}/_db`)
  await page.getByText('live', { exact: true }).waitFor()
  return { shop, page, get: async url => { await (await fetch(shop.origin + url)).text() } }
}

export async function closeBrowser (): Promise<void> {
  await (await browser)?.close()
}
