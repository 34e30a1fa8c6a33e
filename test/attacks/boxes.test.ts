import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { AttemptsOptions } from '../../src/runner/open-attempts.ts'
import type { PlatformStep } from '../../src/runner/platform-steps/platform-step.ts'
import type { Attempts } from '../../src/runner/ports.ts'
import type { Box } from '../../src/runner/sandbox/box.ts'
import { Verifier } from '../../src/runner/sessions/verifier.ts'
import { baseImage } from '../support/docker/docker.ts'
import { attemptSpec, command, endOf, textOf } from '../support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../support/runner/box-fixture.ts'
import { containerPlace, containersMissing } from '../support/runner/container-fixture.ts'

const python = (name: string) => readFileSync(join(import.meta.dirname, name), 'utf8')
const ATTACK = python('verdict.py')
const PATH = '/usr/local/bin:/usr/bin:/bin'
const env = { ATTACK }
/** Returns the command line of the attack. The program that runs it waits for it, and is attacked itself. */
const attack = (how: string) => `python3 -c "$ATTACK" ${how}`

interface Here {
  path: string
  open(options?: Partial<AttemptsOptions>): Attempts
  box(): Box
}

const kinds: readonly { isolation: string; skip: string | false; here(t: TestContext): Promise<Here> }[] = [
  {
    isolation: 'sandbox',
    skip: sandboxMissing(),
    async here(t) {
      const place = boxPlace()
      t.after(() => place[Symbol.dispose]())
      return place
    },
  },
  {
    isolation: 'container',
    skip: containersMissing,
    async here(t) {
      const image = await baseImage('python:3.11-slim')
      const place = containerPlace(t, { image })
      const facts = { isolation: 'container', network: 'none', image } as const
      return { ...place, box: () => place.boxes.box(facts, join(place.path, 'box'), 'verdict') }
    },
  },
]

for (const { isolation, skip, here: open } of kinds) {
  const boxTest = (what: string, body: (here: Here, t: TestContext) => Promise<void>) =>
    test(`in a ${isolation}: ${what}`, { skip }, async (t) => await body(await open(t), t))

  boxTest('a command cannot falsify how it ended', async (here) => {
    const attempts = here.open()
    const attempt = await attempts.start(command(`${attack('attack')}; exit 7`, { env }), 1)
    const end = await endOf(attempt)
    const output = await textOf(attempt)
    assert.doesNotMatch(output, /REACHED/)
    assert.ok(Number(/TRIED (\d+)/.exec(output)?.[1]) >= 9, output + (await textOf(attempt, 'stderr')))
    assert.deepEqual([end.outcome, end.exit_code], ['failed', 7], JSON.stringify(end))
    await attempts.close()
  })

  for (const signal of ['KILL', 'SEGV', 'handled'])
    boxTest(
      `signals to everything that waits for a command do not make it succeed (${signal})`,
      async (here) => {
        const attempts = here.open()
        const attempt = await attempts.start(command(`${attack(signal)}; exit 7`, { env }), 1)
        assert.equal((await endOf(attempt)).outcome, 'failed')
        await attempts.close()
      },
    )

  boxTest('each command of a platform step has its own verdict', async (here) => {
    const codes: unknown[] = []
    const step: PlatformStep = {
      async run(context) {
        const argv = (script: string) => ['/bin/sh', '-c', script]
        const behind = `(while :; do ${attack('attack')}; done) >/dev/null 2>&1 &`
        for (const script of [behind, `${attack('attack')}; exit 7`, 'exit 8'])
          codes.push(await context.boxed({ argv: argv(script), env: { ...env, PATH }, stdout: 'log' }))
        return {}
      },
    }
    mkdirSync(join(here.path, 'workspaces', 'run_test'), { recursive: true })
    const attempts = here.open({ platformStep: () => Promise.resolve(step) })
    const attempt = await attempts.start(attemptSpec('playbook.run', { start: '0'.repeat(40) }), 1)
    const end = await endOf(attempt)
    const expected = [0, 7, 8].map((code) => ({ type: 'exited', code }))
    assert.deepEqual(codes, expected, JSON.stringify(end) + (await textOf(attempt)))
    await attempts.close()
  })

  boxTest("a command that verifies an agent's work gets the verdict of its own end", async (here) => {
    const box = here.box()
    await box.prepare()
    const cwd = join(here.path, 'work')
    mkdirSync(cwd)
    const result = Promise.withResolvers<{ passed: boolean; how: string; output: string }>()
    const verifier = new Verifier({
      ...{ env: { ...env, PATH }, attemptKey: here.path, onResult: result.resolve },
      enclose: (launch, name) => box.enclose(launch, { writable: [cwd], readable: [] }, name),
    })
    void verifier.run({ command: `${attack('attack')}; exit 7`, number: 1 }, cwd)
    const { passed, how, output } = await result.promise
    assert.deepEqual([passed, how], [false, 'exit code 7'], output)
    assert.match(output, /^TRIED \d+$/)
    assert.equal(await box.end(), true)
  })

  boxTest("no file gets its owner's or group's permissions", async (here) => {
    const attempts = here.open()
    const spec = command('python3 -c "$SET_ID"', { env: { SET_ID: python('set-id.py') } })
    const attempt = await attempts.start(spec, 1)
    const end = await endOf(attempt)
    assert.match(await textOf(attempt), /^TRIED \d\d+$/m, await textOf(attempt, 'stderr'))
    assert.equal(end.outcome, 'success')
    const folder = join(here.path, 'workspaces', 'run_test')
    const modes = readdirSync(folder).map((name) => [name, lstatSync(join(folder, name)).mode] as const)
    assert.deepEqual(
      modes.filter(([, mode]) => (mode & 0o6000) !== 0),
      [],
    )
    assert.deepEqual(Object.fromEntries(modes).made! & 0o7777, 0o640)
    await attempts.close()
  })

  boxTest('root-only files in /proc cannot be read', async (here) => {
    const own = readdirSync('/proc').filter((name) => {
      const { mode, isFile } = statOf(`/proc/${name}`)
      return isFile && (mode & 0o004) === 0
    })
    assert.ok(own.length > 0)
    const attempts = here.open()
    const cmd = `cd /proc; for name in ${own.join(' ')}; do [ "$(timeout 2 head -c 1 $name 2>/dev/null | wc -c)" = 0 ] || echo $name; done; true`
    const attempt = await attempts.start(command(cmd), 1)
    assert.equal((await endOf(attempt)).outcome, 'success')
    assert.equal(await textOf(attempt), '')
    await attempts.close()
  })
}

function statOf(path: string): { mode: number; isFile: boolean } {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return { mode: stat?.mode ?? 0, isFile: stat?.isFile() ?? false }
}
