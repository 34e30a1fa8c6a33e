import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { claudeCode } from '../../src/agents/claude-code/claude-code.ts'
import type { AgentRunArgs } from '../../src/contract/actions.ts'
import type { AgentRequestInput } from '../../src/contract/agent-api.ts'
import type { Workflow } from '../../src/contract/workflow.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import { eventually } from '../support/errand-command.ts'
import { runTurn, startModelServer } from '../support/model-server/server.ts'
import { startPrograms } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const able = (...can: string[]): Pick<AgentRequestInput, 'agent' | 'command'> => ({
  agent: 'acp',
  command: [process.execPath, new URL('../support/acp-agent-stand-in.ts', import.meta.url).pathname, ...can],
})
const agents = process.env.ERRAND_AGENTS_DIR ?? join(homedir(), '.errand', 'agents')
const evil = '<img src=x onerror="window.taken=1">.svg'

test('inputs to a session on its page', { skip }, async (t) => {
  // The built-in agent can be chosen, but nothing listens where it would ask its model.
  const model = { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' }
  const programs = await startPrograms(t, { runnerEnv: { ERRAND_AGENTS_DIR: agents, ...model } })
  const { client } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const browser = await startBrowser(t)
  const ask = async (agent: AgentRequestInput): Promise<string> =>
    (await client.runs.create({ agent })).run_id

  await t.test('files are attached, shown with the prompt, and refused by name', async (t) => {
    const run = await ask({ ...able('image', 'text'), prompt: 'say here', interactive: true })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    await page.getByText('here', { exact: true }).waitFor()
    const picker = page.getByLabel('Files to attach')
    await picker.setInputFiles([
      { name: 'screen.png', mimeType: 'image/png', buffer: PNG },
      { name: evil, mimeType: 'image/svg+xml', buffer: Buffer.from('<svg onload="window.taken=1"/>') },
    ])
    const chips = page.getByRole('list', { name: 'Attachments' })
    await chips.getByText('screen.png').waitFor()
    const field = page.getByLabel('Next prompt')
    await field.fill('attached')
    await page.locator('button[aria-disabled="false"]', { hasText: 'Send' }).waitFor()
    await page.reload()
    await chips.getByText('screen.png').waitFor()
    // A paste adds another file.
    await page.evaluate(`{
      const data = new DataTransfer()
      data.items.add(new File(['pasted words'], 'words.txt', { type: 'text/plain' }))
      const paste = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })
      document.querySelector('textarea[aria-label="Next prompt"]').dispatchEvent(paste)
    }`)
    await chips.getByText('words.txt').waitFor()
    await isAccessible(page, 'attachments of a prompt')
    await page.locator('button[aria-disabled="false"]', { hasText: 'Send' }).waitFor()
    await field.press('Enter')
    const talk = page.getByRole('region', { name: 'Conversation' })
    await talk.getByText('resource text/plain pasted words').waitFor()
    const shown = talk.getByRole('img', { name: 'screen.png' })
    await shown.waitFor()
    await page.evaluate(`document.querySelector('img[alt="screen.png"]').decode()`)
    assert.equal(await talk.getByRole('link', { name: evil }).getAttribute('download'), evil)
    assert.equal(await talk.getByRole('img', { name: evil }).count(), 0)
    assert.equal(await page.evaluate('"taken" in window'), false)
    assert.equal(await chips.count(), 1)
    await picker.setInputFiles([
      { name: 'large.bin', mimeType: 'image/png', buffer: Buffer.alloc(6 * 1024 * 1024) },
    ])
    await page.getByText('larger than 5 MiB').waitFor()
    await page.getByRole('button', { name: 'Remove large.bin' }).click()
    await picker.setInputFiles([{ name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('no') }])
    await field.fill('say no')
    await page.locator('button[aria-disabled="false"]', { hasText: 'Send' }).waitFor()
    await field.press('Enter')
    await page.getByText('"fake.png" is not image/png, although its media type says so.').waitFor()
    assert.equal(await field.inputValue(), 'say no')
    await client.runs.input(run, { close: true })
    await programs.ended(run)
  })

  await t.test('the queue can be edited, reordered and withdrawn, and a prompt sent at once', async (t) => {
    const run = await ask({ ...able(), prompt: 'say begun\nwait never', interactive: true })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    await page.getByText('begun', { exact: true }).waitFor()
    const field = page.getByLabel('Next prompt')
    const queue = page.getByRole('list', { name: 'Queued prompts' })
    for (const name of ['first', 'second', 'third']) {
      await field.fill(`say ${name} words`)
      await field.press('Enter')
      await queue.getByText(`say ${name} words`).waitFor()
    }
    await queue.getByRole('button', { name: 'Edit “say first words”' }).click()
    const edited = page.getByLabel('Edit queued prompt')
    await edited.fill('say other words')
    await edited.press('Control+Enter')
    await queue.getByText('say other words').waitFor()
    await queue.getByRole('button', { name: 'Move up “say third words”' }).click()
    await queue.getByRole('listitem').nth(1).getByText('third').waitFor()
    await isAccessible(page, 'a queue')
    await queue.getByRole('button', { name: 'Withdraw “say second words”' }).click()
    await page.getByText('ann withdrew “say second words”.').waitFor()
    await field.fill('say urgent words')
    await field.press('Control+Enter')
    await page.getByText('The turn was stopped.').waitFor()
    await page.getByText('is waiting for your next prompt').waitFor()
    const messages = await page.getByRole('region', { name: 'Conversation' }).innerText()
    assert.match(messages, /urgent words[\s\S]*other words[\s\S]*third words/)
    assert.equal(await queue.count(), 0)
    await client.runs.input(run, { close: true })
    await programs.ended(run)
  })

  await t.test('text and files added while a prompt is being sent stay for the next one', async () => {
    const run = await ask({ ...able('text'), prompt: 'say begun', interactive: true })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    await page.getByText('is waiting for your next prompt').waitFor()
    const field = page.getByLabel('Next prompt')
    const chips = page.getByRole('list', { name: 'Attachments' })
    const attach = async (name: string) => {
      const file = { name, mimeType: 'text/plain', buffer: Buffer.from(name) }
      await page.getByLabel('Files to attach').setInputFiles([file])
      await page.locator('button[aria-disabled="false"]', { hasText: /Send|Continue/ }).waitFor()
    }
    /** Sends the content of the field, and types more before the hub has it. */
    const sendAndType = async (more: string, alsoAttach?: string) => {
      const typed = Promise.withResolvers<void>()
      await page.route(`**/runs/${run}/input`, async (route) => {
        await typed.promise
        await route.continue()
      })
      await field.press('Enter')
      await page.getByRole('button', { name: 'Sending…' }).waitFor()
      await field.pressSequentially(more)
      if (alsoAttach !== undefined) {
        const file = { name: alsoAttach, mimeType: 'text/plain', buffer: Buffer.from(alsoAttach) }
        await page.getByLabel('Files to attach').setInputFiles([file])
        await chips.getByText(alsoAttach).waitFor()
      }
      typed.resolve()
    }
    await field.fill('say first words')
    await attach('first.txt')
    await sendAndType(' and then these', 'second.txt')
    await page.getByText('first words', { exact: true }).waitFor()
    await eventually('the rest', async () => (await field.inputValue()) === 'and then these')
    assert.equal(await page.getByRole('button', { name: 'Remove first.txt' }).count(), 0)
    assert.equal(await page.getByRole('button', { name: 'Remove second.txt' }).count(), 1)
    await page.reload()
    assert.equal(await field.inputValue(), 'and then these')

    // An ended run continues in another one, and so does the text that is being typed.
    await page.getByRole('button', { name: 'End', exact: true }).click()
    await field.and(page.getByPlaceholder('Continue this session…')).waitFor()
    await field.fill('say third words')
    await sendAndType(' and more of it')
    await page.waitForURL((url) => url.pathname.includes('/runs/run_') && !url.pathname.endsWith(run))
    await page.getByText('third words', { exact: true }).waitFor()
    assert.equal(await field.inputValue(), 'and more of it')
    await page.goto(`${programs.url}/runs/${run}`)
    await field.waitFor()
    assert.equal(await field.inputValue(), '')
  })

  await t.test('the model is switched, and an ended session is forked', async (t) => {
    const run = await ask({
      ...able('fork', 'model=small', 'model=large', 'model=refused'),
      prompt: 'model',
      interactive: true,
    })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    await page.getByText('at small').waitFor()
    const model = page.getByLabel('Model')
    await model.selectOption('large')
    await page.getByText('ann switched the model to large.').waitFor()
    assert.equal(await model.inputValue(), 'large')
    await model.selectOption('refused')
    await page.getByText('The model was not switched to refused: not today').waitFor()
    assert.equal(await model.inputValue(), 'large')
    await page.getByRole('button', { name: 'End', exact: true }).click()
    const field = page.getByPlaceholder('Continue this session…')
    await field.fill('model')
    await page.getByRole('button', { name: 'Fork' }).click()
    await page.waitForURL((url) => url.pathname.includes('/runs/run_') && !url.pathname.endsWith(run))
    await page.getByText('at large').waitFor()
    await page.getByText('This is a branch of an earlier session.').waitFor()
    await page.getByRole('link', { name: 'Open that run' }).click()
    await page.getByRole('region', { name: 'Continued in' }).getByRole('link', { name: 'model' }).waitFor()
    await isAccessible(page, 'a session that was forked')
  })

  await t.test(
    'files go with the first prompt of a session, and with it when the session is started again',
    async (t) => {
      const page = await openPage(t, browser, programs)
      await page.goto(`${programs.url}/new?kind=agent`)
      const prompt = page.getByLabel('Prompt')
      await prompt.fill('What is wrong here?')
      await page.getByLabel('Model').fill('m')
      await page.getByLabel(/^Agent/).selectOption('builtin')
      await page.getByLabel('Files to attach').setInputFiles([
        { name: 'screen.png', mimeType: 'image/png', buffer: PNG },
        { name: 'large.bin', mimeType: 'image/png', buffer: Buffer.alloc(6 * 1024 * 1024) },
      ])
      await page.getByText('larger than 5 MiB').waitFor()
      const start = page.getByRole('button', { name: /^Start/ })
      assert.equal(await start.getAttribute('aria-disabled'), 'true')
      await isAccessible(page, 'a new session with attachments')
      await page.setViewportSize({ width: 390, height: 844 })
      await isAccessible(page, 'a new session with attachments on a phone')
      const sideways = await page.evaluate('document.documentElement.scrollWidth')
      assert.ok(Number(sideways) <= 390, `${sideways} px wide`)
      await page.setViewportSize({ width: 1280, height: 800 })
      await page.getByRole('button', { name: 'Remove large.bin' }).click()
      await page.locator('button[aria-disabled="false"]', { hasText: 'Start' }).waitFor()
      await page.reload()
      const chips = page.getByRole('list', { name: 'Attachments' })
      await chips.getByText('screen.png').waitFor()
      // A drop and a paste add more files.
      await page.evaluate(`{
      const field = document.querySelector('textarea')
      const of = (name) => {
        const data = new DataTransfer()
        data.items.add(new File(['words'], name, { type: 'text/plain' }))
        return data
      }
      const how = { bubbles: true, cancelable: true }
      field.dispatchEvent(new DragEvent('drop', { ...how, dataTransfer: of('dropped.txt') }))
      field.dispatchEvent(new ClipboardEvent('paste', { ...how, clipboardData: of('pasted.txt') }))
    }`)
      await chips.getByText('dropped.txt').waitFor()
      await chips.getByText('pasted.txt').waitFor()
      assert.equal(await prompt.inputValue(), 'What is wrong here?')
      await page.locator('button[aria-disabled="false"]', { hasText: 'Start' }).waitFor()
      await start.click()
      await page.waitForURL('**/runs/run_*')
      const run = new URL(page.url()).pathname.split('/').at(-1)!
      const talk = page.getByRole('region', { name: 'Conversation' })
      const { workflow } = await client.runs.workflow(run)
      const { steps = [] } = workflow as Partial<Workflow>
      const { attachments = [] } = steps.find(({ action }) => action === 'agent.run')!
        .args as Partial<AgentRunArgs>
      const names = attachments.map(({ name }) => name).sort()
      assert.deepEqual(names, ['dropped.txt', 'pasted.txt', 'screen.png'])
      await talk.waitFor()
      await programs.ended(run)
      await page.goto(`${programs.url}/new?kind=agent`)
      await page.getByText('You can attach files and images').waitFor()
      assert.equal(await prompt.inputValue(), '')
      await page.goto(`${programs.url}/new?kind=agent&from=${run}`)
      await chips.getByText('screen.png').waitFor()
      assert.equal(await chips.getByRole('listitem').count(), 3)
    },
  )

  await t.test('a request of Claude Code is allowed after an edit', async (t) => {
    const located = await claudeCode.locate({ folder: agents, env: process.env })
    if (located.type !== 'found') return t.skip(agentMissing(claudeCode, located))
    const server = await startModelServer({ script: [runTurn('touch asked.txt'), { text: 'So be it.' }] })
    t.after(() => server.stop())
    const run = await ask({
      ...{ agent: 'claude_code', model: 'claude-sonnet-4-5', isolation: 'none', permissions: 'ask' },
      prompt: 'Touch it.',
      attachments: [
        await client.sessions.attach({ name: 'screen.png', media_type: 'image/png', bytes: PNG }),
      ],
      env: { ANTHROPIC_BASE_URL: server.url, ANTHROPIC_API_KEY: 'k' },
    })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    const question = page.getByRole('region', { name: 'Question', exact: true })
    await question.getByText('touch asked.txt').first().waitFor({ timeout: 60_000 })
    await question.getByRole('button', { name: 'Edit' }).click()
    await question.getByRole('textbox', { name: 'command', exact: true }).fill('touch edited.txt')
    await isAccessible(page, 'a question that is edited')
    await question.getByRole('button', { name: 'Allow as edited' }).click()
    await page.getByText('as edited: touch edited.txt').waitFor()
    await page.getByText('So be it.', { exact: true }).waitFor()
    await programs.ended(run)
    const folder = join(programs.runnerFolder, 'runs', run)
    assert.deepEqual(
      [existsSync(join(folder, 'asked.txt')), existsSync(join(folder, 'edited.txt'))],
      [false, true],
    )
  })
})
