import type { Page } from 'playwright-core'

/** Returns a step that prints a line, then waits for the file of that name. */
export const part = (line: string, file: string): string =>
  `echo '${line}'; while [ ! -e '${file}' ]; do sleep 0.05; done`

/** Reports whether this tab has the connection that all tabs share. */
export const leads = async (page: Page): Promise<boolean> =>
  (await page.evaluate(`(async () => {
    const mine = await navigator.locks.request('of-this-tab', async () =>
      (await navigator.locks.query()).held.find(({ name }) => name === 'of-this-tab').clientId)
    const { held } = await navigator.locks.query()
    return held.some(({ clientId, name }) => clientId === mine && name.startsWith('errand-stream'))
  })()`)) as boolean
