import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const evil = '<img src=x onerror="window.taken=1">'
const tap =
  'echo "TAP version 13"; echo "ok 1 - keeps the cursor"; echo "ok 2 - refuses # SKIP"; echo 1..2; test -e made.txt'

/** Returns what the agent does, by the title of its task and the words that it was given. */
function work(all: string): string {
  if (/Task: long/.test(all)) return 'seq 1 20000 > long.txt; mv README.md READ.md; touch made.txt'
  const again = /say it shorter/.test(all) ? 'echo shorter >> made.txt' : 'echo made > made.txt'
  const lines = ['const page = readCursor(query, filter)', `const evil = '${evil}'`, 'back\u202edrow']
  return [
    again,
    'mkdir -p src test',
    `printf '%s\\n' ${lines.map((line) => `'${line.replaceAll("'", "'\\''")}'`).join(' ')} > src/list.ts`,
    'printf "keeps the cursor\\n" > test/list.test.ts',
    'printf "{\\"lockfileVersion\\": 3}\\n" > package-lock.json',
    "sed -i 's/The shop/The new shop/' README.md",
  ].join('; ')
}

const files = (page: Page) => page.getByRole('navigation', { name: 'Changed files' })

test('people create tasks, read their changes and evidence, and send comments back', { skip }, async (t) => {
  const { repository, server, programs } = await taskPlace(t, {
    script: ({ prompts, toolResults }) => {
      const all = prompts.join('\n')
      if (/Write a plan/.test(all)) return { text: 'THE PLAN' }
      return toolResults.length > 0 ? { text: 'It is made.' } : runTurn(work(all))
    },
  })
  const { tasks } = programs.client
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const shared = { repo_url: repository.cloneUrl, test_commands: [tap] }
  const becomes = (id: string, state: string) =>
    eventually(`${id} to be ${state}`, async () => {
      const task = await tasks.get(id)
      assert.ok(task.state === state || task.state !== 'failed', task.message)
      return task.state === state
    })

  await t.test(
    'a task is created with a text, and its page shows each stage until its pull request',
    async (t) => {
      const page = await openPage(t, browser, programs)
      await page.keyboard.press('g')
      await page.keyboard.press('t')
      await page.waitForURL('**/tasks')
      await page.getByText('No tasks yet').waitFor()
      await isAccessible(page, 'no tasks')
      await page.getByRole('link', { name: 'Create task' }).click()
      await page.getByRole('button', { name: 'From a description' }).click()
      await page.getByText('Enter a repository.').waitFor()
      await page.getByLabel('Repository').fill(repository.cloneUrl)
      await page.getByLabel('Title').fill(`Keep the cursor ${evil}`)
      await page.getByLabel('Description').fill('A filter that changes loses the page.')
      await page.getByLabel('Criterion 1').fill('The cursor stays')
      await page.getByLabel('Tests').fill(tap)
      await isAccessible(page, 'a new task')
      await page.getByRole('button', { name: 'Create task' }).click()
      await page.getByRole('heading', { level: 1, name: 'Keep the cursor' }).waitFor()
      await page.getByText('in review', { exact: true }).waitFor()
      await page.getByRole('link', { name: 'Pull request #' }).first().waitFor()
      await page.getByText('The agent changed 1 test file').waitFor()
      await page.getByText('1 passed').waitFor()
      // Passing tests prove no criterion. A check mark, as for a success or a written one, would claim that.
      const criteria = page.getByRole('list', { name: 'Criteria' })
      assert.deepEqual(await criteria.getByRole('listitem').allInnerTexts(), [
        'The cursor stays\nno evidence yet',
      ])
      assert.equal(await criteria.locator('svg').count(), 1)
      assert.equal(await criteria.locator('svg circle[stroke-dasharray]').count(), 1)
      assert.equal(await criteria.locator('svg path').count(), 0)
      await page.getByText('not verified yet').waitFor()
      assert.equal(await page.evaluate('"taken" in window'), false)
    },
  )

  await t.test(
    'its change is read file by file, tests separately, and comments start another try',
    async (t) => {
      const { id } = (await tasks.list({})).tasks[0]!
      const page = await openPage(t, browser, programs)
      // The address also belongs to the API of a host agent; a browser gets the page.
      await page.goto(`${programs.url}/tasks?text=x`)
      await page.goto(`${programs.url}/tasks`)
      await page.locator(`[data-task="${id}"] a`).first().click()
      await page.waitForURL(`**/tasks/${id}`)
      await files(page).getByRole('button', { name: 'README.md' }).waitFor()
      await files(page).getByRole('region', { name: 'Tests' }).getByText('list.test.ts').waitFor()
      await files(page).getByRole('button', { name: 'list.ts' }).first().click()
      await page.waitForURL('**file=src%2Flist.ts')
      await page.getByText(evil, { exact: false }).last().waitFor()
      await page.getByText('U+202E', { exact: true }).waitFor()
      assert.equal(await page.evaluate('"taken" in window'), false)
      await isAccessible(page, 'a task')
      await files(page).getByRole('button', { name: 'package-lock.json' }).click()
      await page.getByText('Generated file:').waitFor()
      await page.getByRole('button', { name: 'Show file' }).click()
      await page.getByText('lockfileVersion').waitFor()

      await files(page).getByRole('button', { name: 'README.md' }).click()
      await page.getByText('The new shop.').waitFor()
      await page.keyboard.press('v')
      await files(page)
        .getByRole('button', { name: /README\.md.*seen/ })
        .waitFor()
      await files(page).getByRole('button', { name: 'made.txt' }).click()
      await page.getByRole('button', { name: 'Comment on line 1, added' }).click()
      await page.getByRole('textbox', { name: 'Comment on line 1' }).fill('Please say it shorter')
      await page.keyboard.press('Control+Enter')
      await page.getByText('line 1 · draft, only you can see it').waitFor()
      await page.reload()
      await page.getByText('line 1 · draft, only you can see it').waitFor()
      await files(page)
        .getByRole('button', { name: /README\.md.*seen/ })
        .waitFor()
      await isAccessible(page, 'a comment')
      await page.setViewportSize({ width: 390, height: 844 })
      await page.getByText('line 1 · draft, only you can see it').waitFor()
      await isAccessible(page, 'a comment on a phone')
      const sideways = await page.evaluate('document.documentElement.scrollWidth')
      assert.ok(Number(sideways) <= 390, `${sideways} px wide`)
      await page.setViewportSize({ width: 1280, height: 800 })
      await page.getByRole('button', { name: 'Send 1 comment to builtin' }).click()
      await page.getByText('line 1 · draft').waitFor({ state: 'detached' })
      await page.getByRole('tab', { name: 'tries 2' }).waitFor()
      await page.getByText('in review', { exact: true }).waitFor()
      await page.getByText('shorter', { exact: true }).waitFor()
      const texts = server.requests.map(({ prompts }) => prompts.join('\n'))
      assert.ok(texts.some((text) => text.includes('made.txt:1\n> made\n\nPlease say it shorter')))
      await page.getByRole('button', { name: 'commit 2' }).click()
      await page.waitForURL('**against=2**')
      await files(page).getByRole('button', { name: 'README.md' }).waitFor({ state: 'detached' })
      await page.getByText('shorter', { exact: true }).waitFor()
      await page.getByRole('tab', { name: 'tries 2' }).click()
      await page.getByRole('button', { name: 'Changes', exact: true }).click()
      await page.getByText('You see the changes of try 1 of 2.').waitFor()
      const first = files(page).getByRole('button', { name: 'made.txt' })
      await first.click()
      await page.keyboard.press('n')
      await page.waitForURL(/[?&]file=src%2Flist\.ts(&|$)/)
      await page.keyboard.press('p')
      await page.getByText('made', { exact: true }).waitFor()
      assert.equal(await page.getByText('shorter', { exact: true }).count(), 0)
    },
  )

  await t.test('its steps, log, artifacts and tries are shown beside it, and link to its runs', async (t) => {
    const [task] = (await tasks.list({})).tasks
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/tasks/${task!.id}?tab=log&step=test`)
    await page.getByText('ok 1 - keeps the cursor').waitFor()
    await isAccessible(page, 'log of a task')
    await page.getByRole('tab', { name: 'artifacts' }).click()
    await page.getByRole('link', { name: 'change.diff' }).first().waitFor()
    await isAccessible(page, 'artifacts of a task')
    await page.getByRole('tab', { name: 'tries 2' }).click()
    await page.getByText('Try 2').waitFor()
    await isAccessible(page, 'tries of a task')
    await page.getByRole('tab', { name: 'steps' }).click()
    await isAccessible(page, 'steps of a task')
    await page.getByRole('link', { name: 'implement', exact: true }).click()
    await page.waitForURL(/\/runs\/run_\w+\?step=implement/)
  })

  await t.test('a plan is approved on the page, and the list says who is asked', async (t) => {
    const { tasks: made } = await tasks.create({
      task: { ...shared, task_id: 'planned', title: 'planned', plan: true },
    })
    await becomes(made[0]!.id, 'waiting')
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/tasks`)
    await page.getByRole('region', { name: 'Needs you' }).getByText('planned').first().click()
    // The list also shows the beginning of the plan, until the other page is there.
    await page.waitForURL(/\/(tasks|runs)\/\w/)
    await page.getByRole('button', { name: 'Approve' }).waitFor()
    await page.getByText('THE PLAN').first().waitFor()
    await isAccessible(page, 'a plan')
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByText('in review', { exact: true }).waitFor()
  })

  await t.test(
    'a file of 20,000 lines shows only the lines in view, and can be scrolled to its end',
    async (t) => {
      const { tasks: made } = await tasks.create({ task: { ...shared, task_id: 'long', title: 'long' } })
      await becomes(made[0]!.id, 'in_review')
      const page = await openPage(t, browser, programs)
      await page.goto(`${programs.url}/tasks/long`)
      await files(page).getByRole('button', { name: 'long.txt' }).click()
      await page.getByText('Large file: 20,000 changed lines.').waitFor()
      await page.getByRole('button', { name: 'Show file' }).click()
      const change = page.getByRole('region', { name: 'Change of long.txt' })
      await change.getByText('12', { exact: true }).last().waitFor()
      await change.focus()
      await page.keyboard.press('End')
      await change.getByText('20000', { exact: true }).last().waitFor()
      const nodes = await page.evaluate('document.querySelectorAll("*").length')
      assert.ok(Number(nodes) < 2000, `${nodes} nodes`)
      await files(page).getByRole('button', { name: 'READ.md' }).click()
      await page.getByText('Moved without other changes').waitFor()
    },
  )

  await t.test('the list is filtered by its address, and an ended task is deleted by its name', async (t) => {
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/tasks?q=LONG`)
    await page.getByRole('link', { name: 'long', exact: true }).waitFor()
    assert.equal(await page.locator('[data-task]').count(), 1)
    await isAccessible(page, 'tasks')
    await page.setViewportSize({ width: 390, height: 844 })
    await isAccessible(page, 'tasks on a phone')
    const sideways = await page.evaluate('document.documentElement.scrollWidth')
    assert.ok(Number(sideways) <= 390, `${sideways} px wide`)
    await page.getByLabel('State', { exact: true }).selectOption('canceled')
    await page.getByText('No task matches').waitFor()
    await tasks.cancel('long')
    const row = page.getByRole('link', { name: 'long', exact: true })
    await row.waitFor()
    await row.click()
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('button', { name: 'Delete task' }).click()
    await page.getByRole('alert').filter({ hasText: 'Type long to delete it' }).waitFor()
    await page.getByLabel('Type long').fill('long')
    await page.getByRole('button', { name: 'Delete task' }).click()
    await page.waitForURL('**/tasks')
    await row.waitFor({ state: 'detached' })
    await assert.rejects(tasks.get('long'), { code: 'task_not_found' })
  })
})
