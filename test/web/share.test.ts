import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPrograms, workflowText } from '../support/programs.ts'
import {
  clientOf,
  isAccessible,
  LONGEST_WAIT_MS,
  logIn,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'

const shots = process.env.ERRAND_TEST_SHOTS

test('a run is shared by its link, also over plain HTTP, and a user without access learns whom to ask', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  await client.users.create({ name: 'bob', password, role: 'user' })
  const ann = await clientOf(programs, 'ann')
  const yaml = workflowText([{ name: 'one', cmd: 'exit 3' }], { name: 'nightly' })
  const { run_id } = await ann.runs.create({ yaml })
  await programs.ended(run_id)
  const page = await openPage(t, browser, programs)
  const sheet = page.getByRole('dialog', { name: 'Share this run' })
  const shoot = async (name: string) => {
    if (shots === undefined) return
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.evaluate(`document.documentElement.classList.toggle('dark', ${colorScheme === 'dark'})`)
      await page.screenshot({ path: `${shots}-${name}-${colorScheme}.png` })
    }
  }

  await t.test(
    'the button on its page copies the address with what is open, and says who can see it',
    async () => {
      await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
      await page.goto(`${url}/runs/${run_id}?view=list&step=one`)
      await page.getByRole('button', { name: 'Share' }).click()
      await sheet.getByText('Link copied.').waitFor()
      assert.equal(await page.evaluate('navigator.clipboard.readText()'), page.url())
      assert.match(await sheet.innerText(), /ann and the admins of the tenant default can open it/)
      await isAccessible(page, 'a run that is shared')
      await shoot('share')
      await sheet.getByLabel('User in your tenant').fill('bob')
      await sheet.getByRole('button', { name: 'Share', exact: true }).click()
      await sheet.getByRole('list', { name: 'Shared with' }).getByText('bob').waitFor()
      await sheet.getByRole('button', { name: 'Remove' }).click()
      await sheet.getByText('Not shared with anyone else.').waitFor()
      await page.keyboard.press('Escape')
      await sheet.waitFor({ state: 'detached' })
    },
  )

  await t.test('the menu of its row does so in a browser without a clipboard for pages', async () => {
    await page.addInitScript("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await page.goto(`${url}/runs`)
    await page.getByRole('button', { name: `More actions for nightly, ${run_id}` }).click()
    await page.getByRole('button', { name: 'Share…' }).click()
    await sheet.getByText('Link copied.').waitFor()
    const field = sheet.getByLabel('User in your tenant')
    await field.focus()
    await page.keyboard.press('Control+V')
    assert.equal(await field.inputValue(), `${url}/runs/${run_id}`)
    await page.keyboard.press('Escape')
    await page.setViewportSize({ width: 390, height: 844 })
    await page.goto(`${url}/runs/${run_id}`)
    await page.getByRole('button', { name: 'Share' }).click()
    await sheet.getByText('Link copied.').waitFor()
    await isAccessible(page, 'a run that is shared on a phone')
    await shoot('share-phone')
  })

  await t.test(
    "a link to another user's run and to a missing one says the same, with whom to ask",
    async () => {
      const context = await browser.newContext()
      t.after(() => context.close())
      context.setDefaultTimeout(LONGEST_WAIT_MS)
      const bobs = await context.newPage()
      await bobs.goto(`${url}/login?next=/runs/${run_id}`)
      await logIn(bobs, password, 'bob')
      await bobs.waitForURL(`${url}/runs/${run_id}`)
      const access = async (path: string, id: string) => {
        await bobs.goto(`${url}${path}${id}`)
        await bobs.getByText('You are in the tenant').waitFor()
        return (await bobs.getByRole('main').innerText()).replaceAll(id, 'ID')
      }
      const others = await access('/runs/', run_id)
      assert.match(others, /There is no run ID, or it isn't yours\./)
      assert.match(
        others,
        /in the tenant default, whose admins are admin, ann. Ask one of them, or the person who sent/,
      )
      await isAccessible(bobs, 'a run that is not theirs')
      assert.equal(await access('/runs/', 'run_nothing'), others)
      assert.match(
        await access('/tasks/', 'task_nothing'),
        /There is no task ID, or it isn't yours\.[\s\S]*admin, ann/,
      )
    },
  )
})
