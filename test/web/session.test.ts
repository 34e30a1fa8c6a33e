import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentUpdateOf } from '../../src/contract/agent.ts'
import type { AgentRequestInput } from '../../src/contract/agent-api.ts'
import { eventually } from '../support/errand-command.ts'
import { runTurn, startModelServer, type Turn } from '../support/model-server/server.ts'
import { startPrograms } from '../support/programs.ts'
import {
  isAccessible,
  LONGEST_WAIT_MS,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'

const standIn = {
  agent: 'acp',
  command: [process.execPath, new URL('../support/acp-agent-stand-in.ts', import.meta.url).pathname],
}
const evil = '<img src=x onerror="window.taken=1"><script>window.taken=1</script>'

test('people talk with agents, and answer their questions', { skip }, async (t) => {
  const scripts = new Map<string, Turn[]>()
  const server = await startModelServer({ scriptFor: (name) => scripts.get(name) })
  t.after(() => server.stop())
  const runnerEnv = { OPENAI_API_KEY: 'a key of this test', OPENAI_BASE_URL: `${server.url}/v1` }
  const programs = await startPrograms(t, { runnerEnv })
  const browser = await startBrowser(t)
  const { client } = programs
  for (const name of ['ann', 'bob']) await client.users.create({ name, password, role: 'admin' })
  const ask = async (agent: AgentRequestInput): Promise<string> =>
    (await client.runs.create({ agent })).run_id
  /** Starts an agent whose model gives these answers, one after another. */
  const scripted = (model: string, turns: Turn[], more: Partial<AgentRequestInput> = {}): Promise<string> => {
    scripts.set(model, turns)
    return ask({ agent: 'builtin', model, isolation: 'none', prompt: `talk of ${model}`, ...more })
  }
  const answers = async (run: string): Promise<AgentUpdateOf<'permission_answered'>[]> => {
    const found: AgentUpdateOf<'permission_answered'>[] = []
    for await (const event of client.events(run))
      if (event.type === 'agent.update' && event.update.kind === 'permission_answered')
        found.push(event.update)
    return found
  }

  await t.test('hostile Markdown is shown as text, and nothing in it is fetched or executed', async (t) => {
    const text = `# A **heading**\n\n${evil}\n\n![a picture](https://pictures.example/x.png) [no](javascript:alert(1)) [docs](https://docs.example/)\n\n\`\`\`\n${evil}\n\`\`\`\n\n- one\n- two\n`
    const run = await scripted('hostile', [{ text }], { prompt: evil })
    const page = await openPage(t, browser, programs)
    const requests: string[] = []
    page.on('request', (request) => requests.push(new URL(request.url()).host))
    await page.goto(`${programs.url}/runs/${run}`)
    await page.getByRole('heading', { name: 'A heading' }).waitFor()
    await page.getByRole('button', { name: 'Copy this code' }).waitFor()
    // A talk is listed with the sessions, not with the runs.
    const bar = page.getByRole('navigation', { name: 'Errand', exact: true })
    assert.deepEqual(
      await bar.locator('a[aria-current]').evaluateAll((all) => all.map((one) => one.textContent)),
      ['Sessions'],
    )
    await page.getByRole('link', { name: 'image: a picture' }).waitFor()
    assert.equal(
      await page.getByRole('link', { name: 'docs' }).getAttribute('rel'),
      'noopener noreferrer nofollow',
    )
    assert.equal(await page.locator('a[href^="javascript:"]').count(), 0)
    assert.equal(await page.locator('main img, main script').count(), 0)
    assert.ok((await page.getByText(evil).count()) >= 2)
    assert.equal(await page.evaluate('"taken" in window'), false)
    assert.deepEqual(new Set(requests), new Set([new URL(programs.url).host]))
    await programs.ended(run)
    await page.getByPlaceholder('Continue this session…').waitFor()
    await isAccessible(page, 'a session')
  })

  await t.test(
    'an endlessly nested message, and one that cannot be drawn, do not break the page',
    async (t) => {
      const deep = await scripted('deep', [{ text: `${'> '.repeat(5000)}the end` }])
      const page = await openPage(t, browser, programs)
      await page.goto(`${programs.url}/runs/${deep}`)
      await page.getByText('the end').waitFor()
      await programs.ended(deep)
      await page.getByPlaceholder('Continue this session…').waitFor()
      const text = 'before\n\n```never-drawn\necho of the code\n```\n'
      const broken = await scripted('broken', [{ text }], { prompt: 'the prompt above it' })
      await page.addInitScript(`
      const { slice } = String.prototype
      String.prototype.slice = function (...args) {
        if (String(this) === 'never-drawn') throw new Error('this one cannot be drawn')
        return slice.apply(this, args)
      }
    `)
      await page.goto(`${programs.url}/runs/${broken}`)
      await page.locator('pre', { hasText: '```never-drawn' }).waitFor()
      await page.getByText('the prompt above it').first().waitFor()
      await programs.ended(broken)
      await page.getByPlaceholder('Continue this session…').waitFor()
    },
  )

  await t.test(
    'two people answer a question at once: one answer counts, the other person learns whose',
    async (t) => {
      const command = `echo safe \u202e; echo "${'long '.repeat(900)}" > asked.txt`
      const run = await scripted('asking', [runTurn(command), { text: 'So be it.' }], { permissions: 'ask' })
      const anns = await openPage(t, browser, programs)
      const context = await browser.newContext({ viewport: { width: 390, height: 844 } })
      t.after(() => context.close())
      context.setDefaultTimeout(LONGEST_WAIT_MS)
      const bobs = await context.newPage()
      await bobs.goto(`${programs.url}/login?next=/runs/${run}`)
      await bobs.getByLabel('Name').fill('bob')
      await bobs.getByLabel('Password', { exact: true }).fill(password)
      await bobs.keyboard.press('Enter')
      await anns.goto(`${programs.url}/runs/${run}`)
      for (const page of [anns, bobs]) {
        const question = page.getByRole('region', { name: 'Question', exact: true })
        await question.waitFor()
        // The question shows the whole command with its invisible characters, and takes no focus.
        assert.equal(
          (await question.locator('[data-command]').textContent())?.replace('U+202E', '\u202e'),
          command,
        )
        assert.equal(await question.locator(':focus').count(), 0)
        const allow = question.getByRole('button', { name: 'Allow once' })
        assert.equal(await allow.getAttribute('aria-disabled'), 'true')
        await isAccessible(page, 'a question')
        await question.getByRole('region', { name: 'Requested action' }).press('End')
        await question.locator('button[aria-disabled="false"]', { hasText: 'Allow once' }).waitFor()
      }
      await anns.getByRole('button', { name: 'Copy as CLI', exact: true }).click()
      const asCommand = anns.getByTitle(/^errand agents answer /)
      assert.deepEqual(
        (await asCommand.evaluateAll((all) => all.map((one) => one.title.split(' ')))).map(
          ([, , , of, , ...answer]) => [of, ...answer],
        ),
        [
          [run, 'allow'],
          [run, 'allow', '--for-session'],
          [run, 'deny'],
        ],
      )
      await anns.keyboard.press('Escape')
      await asCommand.first().waitFor({ state: 'hidden' })
      // At widths between a phone and a desktop, the name keeps its space.
      await anns.setViewportSize({ width: 720, height: 800 })
      const cut = await anns
        .getByRole('heading', { level: 1, name: 'talk of asking' })
        .evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)
      assert.equal(cut, 0)
      await anns.getByRole('button', { name: 'More actions for this session' }).waitFor()
      await anns.setViewportSize({ width: 1280, height: 800 })
      // Both press before the hub hears of either.
      const pressed = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      for (const [index, page] of [anns, bobs].entries())
        await page.route('**/input', async (route) => {
          pressed[index]!.resolve()
          await Promise.all(pressed.map(({ promise }) => promise))
          await route.continue()
        })
      await Promise.all([
        anns.getByRole('button', { name: 'Allow once' }).click(),
        bobs.getByRole('button', { name: 'Deny', exact: true }).click(),
      ])
      const lost = /Not (allowed|denied): (ann|bob) already (allowed|denied) it, \d\d:\d\d:\d\d\./
      const reported = await Promise.any(
        [anns, bobs].map((page) => page.getByRole('alert').filter({ hasText: lost }).textContent()),
      )
      const [answer, ...others] = await answers(run)
      assert.equal(others.length, 0)
      const { who, decision } = answer!
      const done = decision === 'allow' ? 'allowed' : 'denied'
      assert.match(reported!, new RegExp(`${who} already ${done} it`))
      for (const page of [anns, bobs]) await page.getByText(`by ${who},`).waitFor()
      await programs.ended(run)
    },
  )

  await t.test('a use is allowed for the session, and a denial gives the agent its reason', async (t) => {
    const turns = [runTurn('echo same'), runTurn('echo same'), runTurn('echo other'), { text: 'Then not.' }]
    const run = await scripted('granted', [...turns, { text: 'I see.' }], { permissions: 'ask' })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    const question = page.getByRole('region', { name: 'Question', exact: true })
    await question.getByText('echo same').waitFor()
    const other = question.getByText('echo other')
    // A click that comes too early is ignored. One that comes too late must not count for the next question.
    const same = question.filter({ hasText: 'echo same' })
    while (await same.isVisible())
      await same
        .getByRole('button', { name: 'Allow for this session' })
        .click({ timeout: 1000 })
        .catch(() => undefined)
    await other.waitFor()
    await question.getByRole('button', { name: 'Deny with a reason…' }).click()
    const field = question.getByLabel('Reason for denying')
    await field.fill('Use the other echo.')
    await field.press('Enter')
    await page.getByText('“Use the other echo.”').waitFor()
    await page.getByText('I see.', { exact: true }).waitFor()
    await programs.ended(run)
    const [first, second, third] = await answers(run)
    assert.deepEqual([first!.decision, first!.scope, first!.who], ['allow', 'session', 'ann'])
    assert.deepEqual([second!.by, second!.rule], ['rule', 'for this session, by ann'])
    assert.deepEqual([third!.decision, third!.reason], ['deny', 'Use the other echo.'])
    await page.getByText('was denied, for this reason: Use the other echo.').waitFor()
  })

  await t.test(
    'prompts are queued while it works, a turn is stopped, and a later prompt continues',
    async (t) => {
      const run = await ask({ ...standIn, prompt: 'say first words\nwait never', interactive: true })
      const page = await openPage(t, browser, programs)
      await page.goto(`${programs.url}/runs/${run}`)
      await page.getByText('first words', { exact: true }).waitFor()
      const field = page.getByLabel('Next prompt')
      await field.fill('say a draft')
      await page.reload()
      assert.equal(await field.inputValue(), 'say a draft')
      await field.fill('say second words')
      await field.press('Enter')
      await page.getByRole('list', { name: 'Queued prompts' }).getByText('queued by ann').waitFor()
      // The hub's answer may arrive after the news of it.
      await eventually('an empty field', async () => (await field.inputValue()) === '')
      await page.getByRole('button', { name: 'Stop turn' }).click()
      await page.getByText('The turn was stopped.').waitFor()
      await page.getByText('second words', { exact: true }).waitFor()
      await page.getByText('is waiting for your next prompt').waitFor()
      await page.getByRole('button', { name: 'End', exact: true }).click()
      await field.and(page.getByPlaceholder('Continue this session…')).waitFor()
      await field.fill('say third words\nwrite a.txt')
      await page.getByRole('button', { name: 'Continue' }).click()
      await page.waitForURL((url) => url.pathname.includes('/runs/run_') && !url.pathname.endsWith(run))
      await page.getByText('third words', { exact: true }).waitFor()
      await page.getByText('+1').first().waitFor()
      await page.getByRole('button', { name: 'Show earlier session' }).click()
      await page.getByText('first words', { exact: true }).waitFor()
      await page.keyboard.press('Escape')
      await page.getByRole('main').click()
      // On a busy machine, too much time may pass between the two keys.
      await eventually('the sessions', async () => {
        await page.keyboard.press('g')
        await page.keyboard.press('s')
        return page.url().endsWith('/sessions')
      })
      await page.locator('[data-run]').getByText('third words', { exact: true }).waitFor()
      await isAccessible(page, 'sessions')
      await page.getByLabel('State', { exact: true }).selectOption('running')
      await page.waitForURL('**/sessions?status=running')
    },
  )

  await t.test(
    'the used turns of a budget are in view, amber near their end; partly known edits say so',
    async (t) => {
      const turns = [runTurn('echo 1'), runTurn('echo 2'), { text: 'All is said.' }]
      const run = await scripted('counted', turns, { budget: { turns: 3 } })
      await programs.ended(run)
      const page = await openPage(t, browser, programs)
      await page.goto(`${programs.url}/runs/${run}`)
      const beside = page.getByRole('complementary', { name: 'Session details' })
      const reported = beside.getByText('3 of 3 turns', { exact: true })
      await reported.waitFor()
      assert.match((await reported.getAttribute('class')) ?? '', /text-ask/)
      await isAccessible(page, 'turns of a budget')
      await page.setViewportSize({ width: 390, height: 844 })
      await page.getByText('3 of 3 turns', { exact: true }).filter({ visible: true }).waitFor()
      await page.setViewportSize({ width: 1280, height: 800 })

      const edits = await ask({ ...standIn, prompt: 'write a.txt\nwrite a.txt\nwrite b.txt' })
      await programs.ended(edits)
      await page.goto(`${programs.url}/runs/${edits}`)
      await beside.getByRole('button', { name: /a\.txt in 2 edits \+2 −0$/ }).waitFor()
      await beside.getByRole('button', { name: /b\.txt \+1 −0$/ }).waitFor()
    },
  )

  await t.test('a session is started on the page', async (t) => {
    scripts.set('begun', [{ text: 'Here I am.' }])
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/sessions`)
    await page.getByRole('link', { name: 'New session' }).click()
    await page.getByLabel('Prompt').fill('Come.')
    await page.getByLabel('Model').fill('begun')
    await page.getByLabel(/^Agent/).selectOption('builtin')
    await page.getByLabel('Permissions').selectOption('deny')
    await isAccessible(page, 'a new session')
    await page.getByRole('button', { name: 'Start' }).click()
    await page.getByText('Here I am.', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'End', exact: true }).click()
    await page.getByPlaceholder('Continue this session…').waitFor()
  })

  await t.test('the page stays fast with ten thousand updates, and shows only few of them', async (t) => {
    const lines = Array.from({ length: 2000 }, (_, at) => `say ${at}\nthink ${at}\nwrite ${at % 40}.txt`)
    const run = await ask({ ...standIn, prompt: `${lines.join('\n')}\nsay the last words` })
    await programs.ended(run)
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run}`)
    await page.getByText('the last words', { exact: true }).waitFor()
    assert.ok((await page.locator('main *').count()) < 6000)
    await page.getByRole('button', { name: /^\d+ earlier$/ }).click()
    await page.getByRole('button', { name: /^\d+ later$/ }).waitFor()
    await page.getByRole('button', { name: 'Jump to the end' }).click()
    await page.getByText('the last words', { exact: true }).waitFor()
  })

  await t.test('an agent step of a workflow has its session as a tab', async (t) => {
    const { run_id } = await client.runs.create({
      workflow: {
        version: 'v0.1',
        name: 'review',
        steps: [{ name: 'look', action: 'agent.run', args: { ...standIn, prompt: 'say looked at it' } }],
      },
    })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run_id}`)
    await page.getByRole('tab', { name: 'session', selected: true }).waitFor()
    await page
      .getByRole('region', { name: 'Conversation' })
      .getByText('looked at it', { exact: true })
      .waitFor()
    await page.getByRole('tab', { name: 'log' }).click()
    await page.waitForURL('**tab=log**')
    await page.getByText('looked at it', { exact: true }).waitFor()
  })
})
