import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'
import { clientOf, isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const commit = 'git -c user.name=Agent -c user.email=a@example.org commit -qam'
const many = 'seq 1 20000 > long.txt'

test('a session shows what it has changed, accepts comments on lines, and is shared', { skip }, async (t) => {
  const { repository, programs } = await taskPlace(t, {
    script: [
      runTurn(
        `echo "Better." >> README.md && ${commit} "Better words"; mkdir src; printf 'a\\nb\\n' > src/new.ts; ${many}; head -c 9 /dev/zero > b.bin`,
      ),
      { text: 'Done so far.' },
      { text: 'I have read the comments.' },
    ],
  })
  const { client } = programs
  await client.users.create({ name: 'ann', password })
  await client.users.create({ name: 'bob', password })
  const anns = await clientOf(programs, 'ann')
  const { run_id } = await anns.runs.create({
    agent: {
      ...{ prompt: 'Mend the words', agent: 'builtin', model: 'm', interactive: true },
      workspace: { repo: repository.cloneUrl, branch: 'fix' },
    },
  })
  const browser = await startBrowser(t)
  const page = await openPage(t, browser, programs)
  await page.goto(`${programs.url}/runs/${run_id}`)
  await page.getByText('is waiting for your next prompt').waitFor()
  const files = page.getByRole('navigation', { name: 'Changed files' })
  await files.getByRole('button', { name: 'README.md' }).waitFor()
  await files.getByRole('button', { name: 'long.txt' }).click()
  await page.getByRole('button', { name: 'Show file' }).waitFor()
  await files.getByRole('button', { name: 'b.bin' }).click()
  await page.getByText('The content of a binary file').waitFor()
  await page.getByRole('button', { name: 'commit 1' }).click()
  await files.getByRole('button', { name: 'long.txt' }).waitFor({ state: 'detached' })
  assert.match(page.url(), /against=1/)
  await page.getByRole('button', { name: /^against / }).click()
  await files.getByRole('button', { name: 'new.ts' }).click()
  await page
    .getByRole('button', { name: /omment on line 2/ })
    .first()
    .click()
  await page.getByRole('textbox', { name: /omment/ }).fill('Why b?')
  await page.keyboard.press('Control+Enter')
  await page.getByText('1 comment on lines').waitFor()
  await isAccessible(page, 'the changes of a session')
  await page.reload()
  await page.getByText('1 comment on lines').waitFor()
  await page.getByLabel('Next prompt').fill('And thanks.')
  await page.getByRole('button', { name: 'Send', exact: false }).last().click()
  await page.getByText('I have read the comments.').waitFor()
  await page.getByText('1 comment on lines').waitFor({ state: 'detached' })
  const text = await page.getByRole('region', { name: 'Conversation' }).textContent()
  assert.match(text ?? '', /src\/new\.ts:2\s*> b\s*Why b\?\s*And thanks\./)

  await page.getByRole('tab', { name: 'Files' }).click()
  const listed = page.getByRole('tabpanel', { name: 'files' })
  await listed.getByRole('button', { name: 'src' }).click()
  await listed.getByRole('button', { name: 'new.ts' }).click()
  await page
    .getByRole('region', { name: 'src/new.ts' })
    .getByRole('cell', { name: 'b', exact: true })
    .waitFor()
  await isAccessible(page, 'the files of a session')

  await page.getByRole('button', { name: 'Share', exact: false }).click()
  const sheet = page.getByRole('dialog', { name: 'Share this session' })
  await sheet.getByLabel('User in your tenant').fill('bob')
  await isAccessible(page, 'the sheet that shares')
  await sheet.getByRole('button', { name: 'Share', exact: true }).click()
  await sheet.getByRole('list', { name: 'Shared with' }).getByText('bob').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('dialog').waitFor({ state: 'detached' })

  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' })
  t.after(() => context.close())
  const bobs = await context.newPage()
  await bobs.goto(`${programs.url}/login?next=/runs/${run_id}`)
  await bobs.getByLabel('Name').fill('bob')
  await bobs.getByLabel('Password', { exact: true }).fill(password)
  await bobs.keyboard.press('Enter')
  await bobs.getByText('You can only watch this session of ann').waitFor()
  await bobs.getByRole('button', { name: 'More actions for this session' }).click()
  await bobs.getByRole('button', { name: 'Share…' }).click()
  await bobs.getByRole('dialog', { name: 'Share this session' }).getByText('bob').waitFor()
  await bobs.keyboard.press('Escape')
  assert.equal(await bobs.getByLabel('Next prompt').count(), 0)
  await bobs.getByRole('link', { name: 'Changes' }).click()
  await bobs.getByRole('navigation', { name: 'Changed files' }).waitFor()
  await isAccessible(bobs, 'changes on a phone')
})
