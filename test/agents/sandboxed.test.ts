import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { AttemptSpec } from '../../src/contract/attempt.ts'
import { listProcesses, procText } from '../../src/platform/proc.ts'
import type { HeldAttempt } from '../../src/runner/ports.ts'
import { type AgentSubject, allSubjects, installedAgent } from '../support/agent-subjects.ts'
import {
  type ModelServer,
  runTurn,
  type Script,
  startModelServer,
  type Turn,
  writeFileTurn,
} from '../support/model-server/server.ts'
import { endOf, until } from '../support/runner/attempt-fixture.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { type BoxedPlace, boxedPlace } from '../support/runner/boxed-sessions.ts'
import { update, updatesOf } from '../support/runner/session-fixture.ts'
import { filesWith, formsOf } from '../support/secret-search.ts'

/**
 * Tests sessions of each agent in a box, as a runner runs them: the key stays outside, and they outlive the runner and
 * the proxy.
 */

const KEY = 'sk-ant-api03-the-machines-own-key-0123456789'

interface Setup {
  here: BoxedPlace
  server: ModelServer
  spec(args: object, more?: Partial<AttemptSpec>): AttemptSpec
}

async function setup(
  context: TestContext,
  { name, model, env }: AgentSubject,
  script: Script,
): Promise<Setup> {
  const server = await startModelServer({ script, keys: [KEY] })
  context.after(() => server.stop())
  const here = boxedPlace(context, { env: env(server.url, KEY) })
  return { here, server, spec: (args, more) => here.spec(name, { model, ...args }, more) }
}

const messages = (held: HeldAttempt) =>
  updatesOf(held)
    .flatMap((each) => (each.kind === 'message' ? [each.text] : []))
    .join('')
const reportsText = (held: HeldAttempt) => JSON.stringify(held.reports).slice(-4000)

/** Answers questions as they come: denies changes of files and allows everything else. */
function answerQuestions(held: HeldAttempt): void {
  let answered = 0
  held.onChange(() => {
    const permissions = updatesOf(held).flatMap((each) => (each.kind === 'permission' ? [each] : []))
    for (; answered < permissions.length; answered++) {
      const { request_id, tool_kind } = permissions[answered]!
      const decision = tool_kind === 'edit' ? 'deny' : 'allow'
      held.input!({ type: 'permission', input_id: `answer ${answered}`, request_id, decision })
    }
  })
}

/** Returns this machine's processes whose environment or arguments name that folder. */
const left = (folder: string) =>
  (listProcesses() ?? []).filter(
    ({ pid }) =>
      procText(pid, 'environ')?.includes(folder) ||
      procText(pid, 'cmdline')?.includes(`${folder}/workspaces`),
  )

/** Returns a command that writes everything a program can look at into one file. */
const LOOK = (hidden: string) =>
  [
    'exec >>look.txt 2>&1',
    'env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr "\\0" "\\n"; cat /proc/self/mountinfo',
    `cat ${hidden}; ls -la ${hidden}`,
    'ls /root /home /var/run /run /sys; ls -la /var/run/docker.sock',
    'echo looked',
  ].join('\n')

for (const subject of allSubjects) {
  const found = await installedAgent(subject.name)
  const skip = sandboxMissing() || ('missing' in found ? found.missing : false)
  describe(`${subject.name} in a sandbox`, { skip }, () => {
    it('uses its tools and its model, asks first, and finds no key and nothing of the machine', async (context) => {
      let port = 0
      const script: Script = ({ index }) => {
        if (index === 0)
          return runTurn(
            `${LOOK(hidden)}\n(echo >/dev/tcp/127.0.0.1/${port}) && echo reached >>look.txt; (setsid sleep 1000 &) ; true`,
          )
        if (index === 1) return writeFileTurn(join(here.workspace, 'denied.txt'), 'denied\n')
        return { text: 'All done.' }
      }
      const { here, server, spec } = await setup(context, subject, script)
      const hidden = join(here.path, 'hub-token')
      writeFileSync(hidden, 'the hub itself')
      port = Number(new URL(server.url).port)
      const attempts = await here.open()
      const held = await attempts.start(spec({ prompt: 'Go.', permissions: 'ask' }), 1)
      answerQuestions(held)
      const end = await endOf(held)
      assert.equal(end.outcome, 'success', reportsText(held))
      const look = readFileSync(join(here.workspace, 'look.txt'), 'latin1')
      assert.match(look, /looked/)
      assert.doesNotMatch(look, /the hub itself|the-machines-own-key|^reached$/m)
      assert.ok(!existsSync(join(here.workspace, 'denied.txt')))
      assert.ok(server.requests.length > 0 && server.requests.every(({ key }) => key === KEY))
      assert.deepEqual(filesWith(join(here.path, 'sessions'), formsOf(KEY)), [])
      assert.deepEqual(
        left(here.path).filter(({ pid }) => pid !== here.proxyPid()),
        [],
      )
    })

    it('continues its session after a kill of runner and proxy, and leaves nothing when it is canceled', async (context) => {
      const two: Turn[] = [
        runTurn('touch begun; while [ ! -e go ]; do sleep 0.02; done; echo went >>went.txt'),
        { text: 'Half of an answer, ', hang: true },
      ]
      let hangs = false
      const script: Script = ({ prompts }) => {
        // Agents add other texts around the prompt.
        const turn = [...prompts.join('\n').matchAll(/Turn \w+\./g)].at(-1)?.[0]
        if (turn === 'Turn three.') return runTurn('touch waits; sleep 1000')
        if (turn !== 'Turn two.') return { text: 'First answer.' }
        hangs = two.length === 1
        return two.shift() ?? { text: 'Second answer.' }
      }
      const { here, spec } = await setup(context, subject, script)
      const first = await (await here.open()).start(spec({ prompt: 'Turn one.' }), 1)
      assert.equal((await endOf(first)).outcome, 'success', reportsText(first))
      const session = updatesOf(first).findLast((each) => each.kind === 'session')
      assert.ok(session?.kind === 'session' && session.session_id !== undefined)
      await here.close()
      const next = spec({
        prompt: 'Turn two.',
        interactive: true,
        session: { session_id: session.session_id },
      })
      const kill = await here.other([next])
      await until(() => existsSync(join(here.workspace, 'begun')), 'the command of the agent')
      await kill()
      const attempts = await here.open()
      const [held] = await attempts.recover()
      writeFileSync(join(here.workspace, 'go'), '')
      await until(() => hangs, 'the answer that hangs')
      process.kill(here.proxyPid(), 'SIGKILL')
      await update(held!, 'idle')
      if (subject.name === 'builtin') {
        // The agent does not repeat a request if it has reported a part of the answer.
        held!.input!({ type: 'prompt', input_id: 'again', text: 'Turn two.' })
        await until(() => messages(held!).includes('Second answer.'), 'the answer')
      }
      assert.equal(readFileSync(join(here.workspace, 'went.txt'), 'utf8'), 'went\n')
      assert.match(messages(held!), /Second answer\./)
      const origins = updatesOf(held!).flatMap((each) => (each.kind === 'session' ? [each.origin] : []))
      assert.deepEqual([origins[0], origins.at(-1)], ['loaded', 'same'])
      held!.input!({ type: 'prompt', input_id: 'three', text: 'Turn three.' })
      await until(() => existsSync(join(here.workspace, 'waits')), 'the last command of the agent')
      held!.cancel(1_000, 'canceled')
      assert.equal((await endOf(held!)).outcome, 'canceled', reportsText(held!))
      assert.deepEqual(
        left(here.path).filter(({ pid }) => pid !== here.proxyPid()),
        [],
      )
    })
  })
}
