import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const approval = workflowText(
  [{ name: 'ask', action: 'approval.wait', args: { message: 'Put it on the shelf' } }],
  { name: 'deploy-web' },
)

test('pages, runs and actions are found by words, and used by keyboard only', { skip }, async (t) => {
  const programs = await startPrograms(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, await startBrowser(t), programs)
  const quick = workflowText([{ name: 'one', cmd: 'echo done' }], { name: 'quick' })
  const { run_id: quickRun } = await programs.client.runs.create({ yaml: quick })
  await programs.ended(quickRun)
  const box = page.getByRole('dialog', { name: 'Search or do' })
  // For a reader, a closed dialog stops being a dialog at once. It is removed when the page has heard of the closing.
  const gone = () => page.locator('dialog').waitFor({ state: 'detached' })
  const open = async (words: string) => {
    await page.keyboard.press('Control+k')
    await box.waitFor()
    await page.keyboard.type(words)
  }

  await t.test('a page can be opened, and is then among the recent ones', async () => {
    await open('runners')
    await box.getByRole('option', { name: /^Runners/ }).waitFor()
    await isAccessible(page, 'palette')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Runners' }).waitFor()
    await open('')
    await box.getByText('Recent', { exact: true }).waitFor()
    await page.keyboard.press('Enter')
    await gone()
    assert.equal(new URL(page.url()).pathname, '/settings/runners')
  })

  await t.test('a filter of the list, with its query', async () => {
    await open('failed runs')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/runs?status=failed')
  })

  await t.test('a run by its name, and one by its whole pasted id', async () => {
    await open('quick')
    await box.getByRole('option', { name: new RegExp(quickRun) }).waitFor()
    await page.keyboard.press('Escape')
    await gone()
    await open(quickRun)
    await box.getByRole('option', { name: `Open ${quickRun}` }).waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/runs/${quickRun}`)
  })

  await t.test('a waiting question is answered after one confirmation', async () => {
    const { run_id: id } = await programs.client.runs.create({ yaml: approval })
    await page.getByRole('link', { name: 'Runs, 1 needs you' }).waitFor()
    await open('approve')
    await box.getByRole('option', { name: /Approve: deploy-web/ }).waitFor()
    await page.keyboard.press('Enter')
    await box.getByText('Press Enter again to approve').first().waitFor()
    assert.equal((await programs.client.runs.get(id)).status, 'running', 'one Enter answers nothing')
    await page.keyboard.press('Enter')
    await gone()
    assert.equal((await programs.ended(id)).status, 'success')
  })

  await t.test('commands only, no hit, and all keys', async () => {
    await open('> theme')
    await box.getByRole('option', { name: 'Dark theme' }).click()
    assert.equal(await page.evaluate(`document.documentElement.classList.contains('dark')`), true)
    await open('> quick')
    await box.getByText('No results.').waitFor()
    await page.keyboard.press('Escape')
    await gone()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await isAccessible(page, 'keys')
    await page.keyboard.press('Escape')
    await gone()
  })
})
