import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Locator } from 'playwright-core'
import { runTurn, startModelServer, type Turn } from '../support/model-server/server.ts'
import { startPrograms } from '../support/programs.ts'
import {
  isAccessible,
  LONGEST_WAIT_MS,
  logIn,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'

/** Returns a command that no phone shows completely at once. */
const longCommand = (made: string): string => `echo ${'"a word" '.repeat(300)}; echo made > ${made}`

/** Asserts that all of it is within the screen. */
async function isShown(what: Locator): Promise<void> {
  const { x, y, width, height } = (await what.boundingBox())!
  const box = JSON.stringify({ x, y, width, height })
  assert.ok(x >= 0 && x + width <= 390 && y >= 0 && y + height <= what.page().viewportSize()!.height, box)
}

test("an agent's question is answered on a phone in two touches, after its whole command was seen", {
  skip,
}, async (t) => {
  const scripts = new Map<string, Turn[]>()
  const server = await startModelServer({ scriptFor: (name) => scripts.get(name) })
  t.after(() => server.stop())
  const runnerEnv = { OPENAI_API_KEY: 'a key of this test', OPENAI_BASE_URL: `${server.url}/v1` }
  const programs = await startPrograms(t, { runnerEnv })
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const context = await (await startBrowser(t)).newContext({
    ...{ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
  })
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  t.after(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', (error) => assert.fail(error))
  await page.goto(`${url}/login`)
  await logIn(page, password)
  await page.waitForURL('**/runs')

  let touches = 0
  const touch = async (what: Locator) => {
    touches++
    await what.tap()
  }
  /** Makes the model ask for the command. Returns the arguments for the engine. */
  const asking = (model: string, command: string) => {
    scripts.set(model, [runTurn(command), { text: 'So be it.' }])
    return { agent: 'builtin', model, permissions: 'ask', prompt: `talk of ${model}` } as const
  }
  const decisions = async (run: string) => {
    const found: string[] = []
    for await (const event of client.events(run))
      if (event.type === 'agent.update' && event.update.kind === 'permission_answered')
        found.push(`${event.update.decision} ${event.update.scope ?? 'once'} by ${event.update.who}`)
    return found
  }
  const inputs: string[] = []
  page.on('request', (request) => {
    if (request.url().endsWith('/input')) inputs.push(request.method())
  })
  const question = page.getByRole('region', { name: 'Question', exact: true })
  const box = question.getByRole('region', { name: 'Requested action' })
  const allow = question.getByRole('button', { name: 'Allow once' })
  const deny = question.getByRole('button', { name: 'Deny', exact: true })
  const bright = question.locator('button[aria-disabled="false"]', { hasText: 'Allow once' })
  /** Opens the first question: the run, as Needs you shows it. */
  const openFirst = async (command: string) => {
    touches = 0
    inputs.length = 0
    await page.goto(`${url}/runs`)
    const needs = page.getByRole('region', { name: 'Needs you' })
    await needs.getByText(command.slice(0, 60)).waitFor()
    const open = needs.getByRole('link', { name: /^(Open|talk of )/ }).last()
    assert.ok((await open.boundingBox())!.height >= 44)
    await touch(open)
    await question.waitFor()
    assert.equal(await question.locator('[data-command]').textContent(), command)
    for (const button of [deny, allow]) {
      assert.ok((await button.boundingBox())!.height >= 44)
      await isShown(button)
    }
    await deny.tap({ trial: true })
    assert.ok((await deny.boundingBox())!.x < (await allow.boundingBox())!.x)
    await isShown(box)
    await box.tap({ trial: true })
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 390)
  }

  await t.test('a command that is wholly visible is allowed with the second touch', async () => {
    const made = join(programs.home, 'made')
    const command = `echo made > ${made}`
    const { run_id } = await client.runs.create({ agent: { ...asking('short', command), isolation: 'none' } })
    await openFirst(command)
    await isShown(question.locator('[data-command]'))
    await bright.waitFor()
    assert.equal(existsSync(made), false)
    await touch(allow)
    await page.getByText('by ann,').waitFor()
    assert.equal(touches, 2)
    assert.equal((await programs.ended(run_id)).status, 'success')
    assert.deepEqual([await decisions(run_id), inputs], [['allow once by ann'], ['POST']])
    assert.ok(existsSync(made))
  })

  await t.test(
    'a question that the list shows whole is answered there, and the next one needs another touch',
    async () => {
      const [first, second] = [join(programs.home, 'first'), join(programs.home, 'second')]
      const commands = [`echo one > ${first}`, `echo \u202etwo > ${second}`]
      scripts.set('twice', [...commands.map((command) => runTurn(command)), { text: 'So be it.' }])
      const session = { ...asking('once', ''), model: 'twice', isolation: 'none' } as const
      await page.goto(`${url}/runs`)
      const { run_id } = await client.runs.create({ agent: session })
      const needs = page.getByRole('region', { name: 'Needs you' })
      const command = needs.locator('[data-command]')
      const answer = (name: string) => needs.locator('button[aria-disabled="false"]', { hasText: name })
      await needs.getByText(commands[0]!).waitFor()
      assert.equal(await command.textContent(), commands[0])
      assert.equal(await needs.locator(':focus').count(), 0)
      await answer('Allow once').waitFor()
      await isAccessible(page, 'a command in the list')
      assert.ok((await answer('Deny').boundingBox())!.x < (await answer('Allow once').boundingBox())!.x)
      // The next question appears under the finger. A touch meant for the first one must not count at once.
      inputs.length = 0
      await answer('Allow once').tap()
      await needs.getByText('U+202E').waitFor()
      assert.equal(await command.textContent(), commands[1]!.replace('\u202e', 'U+202E'))
      await answer('Deny').tap()
      assert.equal((await programs.ended(run_id)).status, 'success')
      assert.deepEqual(await decisions(run_id), ['allow once by ann', 'deny once by ann'])
      assert.deepEqual(inputs, ['POST', 'POST'])
      assert.deepEqual([existsSync(first), existsSync(second)], [true, false])
    },
  )

  await t.test('for a long command Allow stays disabled until you scroll to its end', async () => {
    const made = join(programs.home, 'long')
    const command = longCommand(made)
    const { run_id } = await client.runs.create({ agent: { ...asking('long', command), isolation: 'none' } })
    await openFirst(command)
    await isAccessible(page, 'a question on a phone')
    await question.getByText('scroll to the end to allow it').waitFor()
    // Denying needs no more than a look. So this button shows when touches count.
    await question.locator('button[aria-disabled="false"]', { hasText: 'Deny' }).last().waitFor()
    assert.equal(await allow.getAttribute('aria-disabled'), 'true')
    await allow.tap({ force: true })
    const { x, y, width, height } = (await box.boundingBox())!
    const fingers = await context.newCDPSession(page)
    /** Moves a finger upwards over the command. The finger stays there until it is lifted. */
    const swipe = async () => {
      const at = (way: number) => ({ touchPoints: [{ x: x + width / 2, y: y + height - 10 - way }] })
      await fingers.send('Input.dispatchTouchEvent', { type: 'touchStart', ...at(0) })
      for (let way = 0; way < height - 20; way += 10)
        await fingers.send('Input.dispatchTouchEvent', { type: 'touchMove', ...at(way) })
      await fingers.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] })
    }
    const scrolled = page.evaluate(
      `new Promise((done) => document.querySelector('section[aria-label="Requested action"]').addEventListener('scroll', done, { once: true }))`,
    )
    await swipe()
    await scrolled
    assert.equal(await allow.getAttribute('aria-disabled'), 'true')
    for (let left = 20; left > 0 && !(await bright.isVisible()); left--) await swipe()
    await bright.waitFor()
    // The touch of the dull button has sent nothing.
    assert.deepEqual(inputs, [])
    await touch(allow)
    await page.getByText('by ann,').waitFor()
    assert.equal(touches, 2)
    assert.equal((await programs.ended(run_id)).status, 'success')
    assert.deepEqual([await decisions(run_id), inputs], [['allow once by ann'], ['POST']])
    assert.ok(existsSync(made))
  })

  await t.test(
    "a workflow step's question is found beside a failed step, and denied as quickly",
    async () => {
      const made = join(programs.home, 'denied')
      const command = longCommand(made)
      const { run_id } = await client.runs.create({
        workflow: {
          version: 'v0.1',
          name: 'look-and-mend',
          steps: [
            { name: 'look', needs: [], action: 'cmd.run', args: { cmd: 'exit 7' } },
            { name: 'mend', needs: [], action: 'agent.run', args: asking('step', command) },
          ],
        },
      })
      for await (const event of client.events(run_id)) if (event.type === 'attempt.finished') break
      // A browser's own bars reduce the height of a phone's screen.
      await page.setViewportSize({ width: 390, height: 664 })
      await openFirst(command)
      assert.equal(await allow.getAttribute('aria-disabled'), 'true')
      await touch(deny)
      await page.getByText('by ann,').waitFor()
      assert.equal(touches, 2)
      await programs.ended(run_id)
      assert.deepEqual([await decisions(run_id), inputs], [['deny once by ann'], ['POST']])
      assert.equal(existsSync(made), false)
    },
  )

  await t.test(
    'with several agents in one step, each question is found and answered separately',
    async () => {
      const commands = ['one', 'two', 'three'].map((name) => {
        const command = `echo made > ${join(programs.home, `of-${name}`)}`
        asking(name, command)
        return command
      })
      const args = { ...asking('${ITEM}', ''), model: '${ITEM}' }
      scripts.delete('${ITEM}')
      const { run_id } = await client.runs.create({
        workflow: {
          version: 'v0.1',
          name: 'mend-three',
          steps: [
            { name: 'mend', foreach: ['one', 'two', 'three'], action: 'agent.run', isolation: 'none', args },
          ],
        },
      })
      /** Attempts by the names of their instances, once each instance asks. */
      const ids = new Map<number, string>()
      for await (const event of client.events(run_id)) {
        if (event.type !== 'agent.update' || event.update.kind !== 'permission') continue
        ids.set(event.attempt, event.update.request_id)
        if (ids.size === 3) break
      }
      const shows = async (command: string) => {
        await question.locator('[data-command]', { hasText: command }).waitFor()
        assert.equal(await question.count(), 1)
      }
      await page.goto(`${url}/runs`)
      const needs = page.getByRole('region', { name: 'Needs you' })
      await needs.getByText('2 more questions:').waitFor()
      const third = needs.getByRole('link', { name: /^mend on .*, 3$/ })
      assert.ok((await third.boundingBox())!.height >= 44)
      await isAccessible(page, 'several questions in the list')
      await third.tap()
      await shows(commands[2]!)
      const strip = page.getByRole('navigation', { name: 'Questions' })
      await strip.getByText('3 waiting for an answer').waitFor()
      assert.match((await strip.locator('[aria-current="true"]').textContent())!, /, 3$/)
      await isAccessible(page, 'several questions of a run')
      await bright.waitFor()
      await allow.tap()
      await strip.getByText('2 waiting for an answer').waitFor()
      await strip.getByRole('button', { name: /, 2$/ }).tap()
      await shows(commands[1]!)
      await deny.and(page.locator('[aria-disabled="false"]')).tap()
      await strip.waitFor({ state: 'detached' })
      // The link of a notice names the question of one of them.
      const view = await client.runs.get(run_id)
      const first = view.steps[0]!.instances[0]!
      assert.deepEqual(
        view.steps[0]!.instances.map(({ asks }) => asks),
        [true, undefined, undefined],
      )
      const { number } = first.attempts.at(-1)!
      await page.goto(`${url}/runs/${run_id}?step=mend@${first.host}#question:${ids.get(number)}@${number}`)
      await shows(commands[0]!)
      await bright.waitFor()
      await allow.tap()
      assert.equal((await programs.ended(run_id)).status, 'success')
      const made = ['one', 'two', 'three'].map((name) => existsSync(join(programs.home, `of-${name}`)))
      assert.deepEqual(made, [true, false, true])
    },
  )
})

test("in a low window, like a large one zoomed in, a run's question is above the fold", {
  skip,
}, async (t) => {
  const server = await startModelServer({ scriptFor: () => [runTurn('echo made'), { text: 'So be it.' }] })
  t.after(() => server.stop())
  const runnerEnv = { OPENAI_API_KEY: 'a key of this test', OPENAI_BASE_URL: `${server.url}/v1` }
  const programs = await startPrograms(t, { runnerEnv })
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, await startBrowser(t), programs)
  const before = ['one', 'two', 'three'].map((name) => ({
    ...{ name, needs: [], action: 'cmd.run', args: { cmd: 'true' } },
  }))
  const needs = before.map(({ name }) => name)
  const questions = [
    {
      step: { name: 'ask', action: 'approval.wait', args: { message: 'Ship\u202e it?\n'.repeat(40) } },
      answers: ['Reject', 'Approve'],
    },
    {
      step: {
        ...{ name: 'ask', action: 'agent.run' },
        args: { agent: 'builtin', model: 'asks', permissions: 'ask', prompt: 'talk' },
      },
      answers: ['Deny', 'Allow once'],
    },
  ]
  for (const { step, answers } of questions) {
    const steps = [...before, { ...step, needs }, { ...before[0]!, name: 'after', needs: ['ask'] }]
    const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'ship', steps } })
    await page.setViewportSize({ width: 720, height: 450 })
    await page.goto(`${url}/runs/${run_id}`)
    const buttons = answers.map((name) => page.getByRole('button', { name: new RegExp(`^${name}`) }).first())
    for (const [index, button] of buttons.entries()) {
      await button.waitFor()
      const { x, y, width, height } = (await button.boundingBox())!
      assert.ok(
        x + width <= 720 && y >= 0 && y + height <= 450,
        `${answers[index]} ends at ${x + width}, ${y + height}`,
      )
    }
    assert.equal(await page.getByRole('listbox', { name: 'Step graph' }).count(), 0)
    await page.keyboard.press('1')
    const graph = page.getByRole('listbox', { name: 'Step graph' })
    await graph.waitFor()
    assert.ok((await graph.boundingBox())!.height <= 180)
    await isAccessible(page, 'a question in a low window')
    // On a phone, the question scrolls, its invisible characters are shown, and nothing covers the answers.
    await page.setViewportSize({ width: 390, height: 844 })
    if (step.action === 'approval.wait') await page.getByText('U+202E').first().waitFor()
    const bar = (await page.getByRole('navigation', { name: 'Errand, bottom bar' }).boundingBox())!
    for (const button of buttons) {
      const { y, height } = (await button.boundingBox())!
      assert.ok(y + height <= bar.y)
      await button.click({ trial: true })
    }
    await client.runs.cancel(run_id)
  }
})
