import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPrograms } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const shots = undefined as string | undefined

const deploy = `version: v0.1
name: deploy
inputs:
  region: {enum: [eu, us, both], default: both, description: Where it goes}
  version: {required: true, description: Such as 2026.11.4}
  canary: {type: number, default: 10}
  dry: {type: boolean}
  API_TOKEN: {}
env: {DB_PASSWORD: kept-nowhere-1}
steps:
  - name: say
    action: cmd.run
    args: {cmd: 'echo "$version to $region as $canary, \${#API_TOKEN} \${#DB_PASSWORD}"'}
`

test('a workflow is started with its inputs, again with the same, and from a link', { skip }, async (t) => {
  const programs = await startPrograms(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, await startBrowser(t), programs)
  const editor = page.getByLabel('Workflow YAML')
  const form = page.getByRole('region', { name: 'Inputs' })
  const shot = async (name: string) => {
    if (!shots) return
    for (const [width, height] of [
      [1440, 900],
      [390, 844],
    ] as const)
      for (const scheme of ['light', 'dark'] as const) {
        await page.setViewportSize({ width, height })
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
        await page.evaluate(`document.documentElement.classList.toggle('dark', ${scheme === 'dark'})`)
        await page.screenshot({ path: `${shots}-${name}-${width}-${scheme}.png` })
      }
    await page.setViewportSize({ width: 1440, height: 900 })
  }
  await page.setViewportSize({ width: 1440, height: 900 })

  await t.test('a hint fixes a mistake, and nothing with a mistake runs', async () => {
    await page.keyboard.press('n')
    await editor.fill(deploy.replace('cmd.run', 'cmd.rum'))
    await page.getByText('Use cmd.run').waitFor()
    await shot('mistake')
    await isAccessible(page, 'a mistake')
    await editor.press('Control+Home')
    await editor.press('Control+Enter')
    await page.getByRole('button', { name: /^Run/, disabled: false }).waitFor()
    const [at, where] = (await page.evaluate(
      `[document.querySelector('#yaml').selectionStart, document.querySelector('#yaml').value.indexOf('cmd.rum')]`,
    )) as number[]
    assert.equal(at, where)
    await editor.press('Alt+Enter')
    await page.getByText('No mistakes, 1 step, 1 host').waitFor()
    assert.equal(await editor.inputValue(), deploy)
    await editor.press('Control+z')
    assert.match(await editor.inputValue(), /cmd\.rum/, 'undo works on it as on typed text')
    await page.getByText('Use cmd.run').waitFor()
    await editor.press('Alt+Enter')
    await page.getByText('No mistakes').waitFor()
    assert.equal((await programs.client.runs.list()).runs.length, 0)
  })

  let first = ''
  await t.test('required inputs come first; secrets are typed in and stored nowhere', async () => {
    await form.getByLabel('version').waitFor()
    const labels = await form.locator('label').allTextContents()
    assert.deepEqual(labels, ['version', 'region', 'canary', 'dry', 'API_TOKEN'])
    await editor.press('Control+Enter')
    await form.getByText('needs a value').waitFor()
    await page.locator('[name="version"]:focus').waitFor()
    await shot('needed')
    await isAccessible(page, 'inputs')
    await form.getByLabel('version').fill('2026.11.4')
    await form.getByLabel('canary').fill('many')
    await form.getByText('must be a number').waitFor()
    await form.getByLabel('canary').fill('25')
    await form.getByRole('button', { name: 'eu' }).click()
    await form.getByLabel('API_TOKEN').fill('12345678')
    await page.reload()
    await form.getByLabel('version').waitFor()
    assert.equal(await form.getByLabel('version').inputValue(), '2026.11.4')
    assert.equal(await form.getByLabel('API_TOKEN').inputValue(), '')
    await form.getByLabel('API_TOKEN').fill('12345678')
    assert.doesNotMatch(await page.evaluate(`JSON.stringify(localStorage)`), /12345678/)
    await form.getByLabel('API_TOKEN').press('Control+Enter')
    await page.getByText('2026.11.4 to eu as 25, 8 14', { exact: true }).waitFor()
    await page.getByText(/first line after/).waitFor()
    first = new URL(page.url()).searchParams.get('from')!
    assert.match(first, /^run_/)
    await shot('ran')
    await isAccessible(page, 'inputs and output')
  })

  await t.test('"Run again with these inputs" is one click, and asks for the secrets again', async () => {
    await page.evaluate('localStorage.clear()')
    await page.goto(`${programs.url}/runs/${first}`)
    await page.getByRole('button', { name: 'More retry options' }).first().click()
    await page.getByRole('link', { name: 'Run again with these inputs' }).first().click()
    await form.getByLabel('version').waitFor()
    assert.equal(await form.getByLabel('version').inputValue(), '2026.11.4')
    assert.equal(await form.getByRole('button', { name: 'eu' }).getAttribute('aria-pressed'), 'true')
    assert.equal(await form.getByLabel('DB_PASSWORD').inputValue(), '')
    assert.doesNotMatch(await editor.inputValue(), /kept-nowhere|ERRAND_ENV/)
    await page.getByRole('button', { name: 'Run again' }).click()
    await form.getByText('enter it again').waitFor()
    await form.getByLabel('DB_PASSWORD').fill('it"s: new #9')
    await shot('again')
    await form.getByLabel('DB_PASSWORD').press('Control+Enter')
    await page.waitForURL((url) => url.searchParams.get('from') !== first)
    await page.getByText('2026.11.4 to eu as 25, 0 12', { exact: true }).waitFor()
    const { runs } = await programs.client.runs.list()
    assert.equal(runs.length, 2)
    const stored = JSON.stringify(await programs.client.runs.workflow(runs[0]!.run_id))
    assert.doesNotMatch(stored, /new #9/)
  })

  await t.test('a link fills inputs and runs nothing; a wrong value is reported at its field', async () => {
    const query = `from=${first}&input.region=mars&input.version=7&input.regio=us&input.API_TOKEN=of-the-link`
    await page.goto(`${programs.url}/new?${query}`)
    await form.getByText('must be eu, us or both').waitFor()
    await form.getByText(/no input with this name; did you mean "region"/).waitFor()
    await form.getByText('a link cannot fill in a secret').waitFor()
    assert.equal(await form.getByLabel('API_TOKEN').inputValue(), '')
    assert.equal(await form.getByLabel('version').inputValue(), '7')
    await shot('link')
    await form.getByLabel('DB_PASSWORD').fill('x')
    await page.getByRole('button', { name: 'Run again' }).click()
    await page.locator('[name="region"]:focus').waitFor()
    assert.equal((await programs.client.runs.list()).runs.length, 2)
    await form.getByLabel('region').fill('us')
    await form.getByRole('button', { name: 'Remove regio' }).click()
    await form.getByLabel('API_TOKEN').fill('1234')
    await page.getByText('must be eu').waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Run again' }).click()
    await page.getByText('7 to us as 25, 4 1', { exact: true }).waitFor()
  })

  await t.test('an example opens as a workflow, and a missing one is reported', async () => {
    await page.goto(`${programs.url}/new?from=example:graph`)
    await page.getByText('No mistakes, 4 steps').waitFor()
    await shot('example')
    await page.goto(`${programs.url}/new?from=run_none`)
    await page.getByRole('alert').waitFor()
    await page.goto(`${programs.url}/new?from=example:none`)
    await page.getByText('Example none not found.').waitFor()
  })

  await t.test('a session and a task start with the values of an earlier one', async () => {
    const prompt = 'say ${HOME} "x"'
    const agent = { agent: 'builtin' as const, model: 'm', prompt, permissions: 'deny' as const }
    const { run_id } = await programs.client.runs.create({ agent })
    await page.goto(`${programs.url}/new?kind=agent&from=${run_id}`)
    assert.equal(await page.getByLabel('Prompt').inputValue(), prompt)
    assert.equal(await page.getByLabel('Model').inputValue(), 'm')
    assert.equal(await page.getByLabel('Permissions').inputValue(), 'deny')
    await shot('agent')
    await isAccessible(page, 'a session again')
    const { tasks } = await programs.client.tasks.create({
      task: {
        title: 'Mend it',
        description: 'All',
        repo_url: 'https://git.invalid/a',
        test_commands: ['make'],
      },
    })
    await page.goto(`${programs.url}/new?kind=task&from=${tasks[0]!.id}`)
    assert.equal(await page.getByLabel('Title').inputValue(), 'Mend it')
    assert.equal(await page.getByLabel('Repository').inputValue(), 'https://git.invalid/a')
    assert.equal(await page.getByLabel('Tests').inputValue(), 'make')
    await shot('task')
    await isAccessible(page, 'a task again')
  })
})
