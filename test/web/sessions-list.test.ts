import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ErrandClient } from '../../src/client/client.ts'
import type { AgentRequestInput } from '../../src/contract/agent-api.ts'
import { startPrograms } from '../support/programs.ts'
import { clientOf, isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const standIn = {
  agent: 'acp',
  command: [process.execPath, new URL('../support/acp-agent-stand-in.ts', import.meta.url).pathname],
}

test('the list of sessions can be filtered, and shows those that others share, live', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const { client, url } = programs
  const begin = async (by: ErrandClient, agent: AgentRequestInput, repository?: string) =>
    (await by.runs.create({ agent: { ...standIn, isolation: 'none', ...agent }, repository })).run_id
  await client.users.create({ name: 'ann', password, role: 'user' })
  await client.users.create({ name: 'bob', password, role: 'user' })
  const [ann, bob] = [await clientOf(programs, 'ann'), await clientOf(programs, 'bob')]
  const shop = await begin(ann, { prompt: 'say of the shop' }, 'shop/web')
  const site = await begin(ann, { prompt: 'say of the site' }, 'shop/site')
  const failed = await begin(ann, { prompt: 'fail at once' })
  await Promise.all([shop, site, failed].map((run) => programs.ended(run)))

  const page = await openPage(t, browser, programs)
  const row = (run: string) => page.locator(`[data-run="${run}"]`)
  const shown = () =>
    page.locator('[data-run]').evaluateAll((rows) => rows.map((one) => one.getAttribute('data-run')).sort())
  await page.goto(`${url}/sessions`)
  await row(shop).waitFor()
  assert.deepEqual(await shown(), [shop, site, failed].sort())

  await t.test('by state, agent and repository, each in the address, and back again', async () => {
    await page.getByLabel('Repository', { exact: true }).selectOption('shop/web')
    await page.waitForURL('**/sessions?repository=shop%2Fweb')
    await row(site).waitFor({ state: 'detached' })
    assert.deepEqual(await shown(), [shop])
    await page.getByLabel('Agent', { exact: true }).selectOption('acp')
    await page.waitForURL('**/sessions?repository=shop%2Fweb&agent=acp')
    await page.reload()
    await row(shop).waitFor()
    assert.deepEqual(await shown(), [shop])
    await page.goBack()
    await page.goBack()
    await row(site).waitFor()
    await page.getByLabel('State', { exact: true }).selectOption('failed')
    await page.waitForURL('**/sessions?status=failed')
    await row(shop).waitFor({ state: 'detached' })
    assert.deepEqual(await shown(), [failed])
    await page.getByLabel('State', { exact: true }).selectOption('')
    const words = page.getByLabel(/^Filter: words/)
    await words.fill('agent:codex')
    await words.press('Enter')
    await page.getByText('No sessions match').waitFor()
    await page.getByRole('link', { name: 'Clear filter' }).click()
    await row(site).waitFor()
  })

  await t.test(
    "others' sessions appear and disappear as they are shared, and their state is updated in place",
    async () => {
      const go = join(programs.home, 'go')
      const run = await begin(bob, { prompt: `wait ${go}\nsay now it is done` })
      const hidden = await begin(bob, { prompt: 'say of nobody else' })
      await programs.ended(hidden)
      await page.getByRole('button', { name: 'Shared with me' }).click()
      await page.waitForURL('**/sessions?shared=1')
      await page.getByText('Nobody has shared a session with you').waitFor()
      await isAccessible(page, 'the list of shared sessions')
      await bob.sessions.share(run, { user: 'ann' })
      await row(run).waitFor()
      assert.equal(await row(run).getByText('bob,').count(), 1)
      writeFileSync(go, '')
      await row(run).getByText('now it is done').waitFor()
      await row(run).getByLabel('success').waitFor()
      assert.deepEqual(await shown(), [run])
      await bob.sessions.unshare(run, { user: 'ann' })
      await row(run).waitFor({ state: 'detached' })
      // After a restart of the hub, the list is read again and continues.
      await programs.kill('hub')
      await programs.startHub()
      await bob.sessions.share(run, { role: 'user', can: 'take-part' })
      await row(run).waitFor()
      await page.getByRole('button', { name: 'Shared with me' }).click()
      await row(shop).waitFor()
      assert.deepEqual(await shown(), [shop, site, failed].sort())
    },
  )

  await t.test('a session is shared on a phone', async () => {
    await page.setViewportSize({ width: 390, height: 844 })
    await page.goto(`${url}/runs/${shop}`)
    await page.getByRole('button', { name: 'More actions for this session' }).click()
    await page.getByRole('button', { name: 'Share…' }).click()
    const sheet = page.getByRole('dialog', { name: 'Share this session' })
    await sheet.getByLabel('User in your tenant').fill('bob')
    await sheet.getByRole('button', { name: 'Share', exact: true }).click()
    await sheet.getByRole('list', { name: 'Shared with' }).getByText('bob').waitFor()
    await isAccessible(page, 'sharing on a phone')
    assert.deepEqual(
      (await bob.runs.list({ shared: 'true' })).runs.map(({ run_id }) => run_id),
      [shop],
    )
  })
})
