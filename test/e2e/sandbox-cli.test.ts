import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'

const skip = sandboxMissing()

function setup(t: TestContext) {
  const errand = errandCommand(t)
  const cwd = join(errand.home, 'project')
  mkdirSync(cwd)
  const run = async (steps: object[], env: NodeJS.ProcessEnv = {}, more: object = {}) => {
    const flow = { version: 'v0.1', name: 'flow', isolation: 'sandbox', network: 'none', ...more, steps }
    writeFileSync(join(cwd, 'flow.json'), JSON.stringify(flow))
    return await errand.run(['run', 'flow.json'], { cwd, env })
  }
  return { ...errand, cwd, run }
}

const step = (cmd: string, args: object = {}) => ({ name: 'look', action: 'cmd.run', args: { cmd, ...args } })

test('errand run puts a step that requests it into a sandbox, and says why if it cannot', {
  skip,
}, async (t) => {
  const { run, cwd, home } = setup(t)
  writeFileSync(join(home, 'held-back'), 'held back')
  const seen = await run(
    [step(`id -un; pwd; echo "<$TEST_KEY>"; cat ${home}/held-back || echo made >made`)],
    { TEST_KEY: 'held back' },
  )
  assert.equal(seen.code, 0, seen.stdout)
  assert.match(seen.stdout, new RegExp(`local \\| errand\nlocal \\| ${cwd}\nlocal \\| <>\n`))
  assert.doesNotMatch(seen.stdout, /held back/)
  assert.equal(readFileSync(join(cwd, 'made'), 'utf8'), 'made\n')
  const elsewhere = await run([step('true', { cwd: '/opt' })])
  assert.match(elsewhere.stdout, /start failed: The working folder \/opt is not in the sandbox\. Put it into/)
  const missing = await run([step('true')], { PATH: join(home, 'empty') })
  assert.match(missing.stdout, /bubblewrap is not installed: .* Install it: apt-get install bubblewrap/)
  const wrong = await run([step('true')], { ERRAND_SANDBOX_MOUNTS: 'relative' })
  assert.match(wrong.stdout, /ERRAND_SANDBOX_MOUNTS is "relative"/)
})

test('a variable requests a sandbox for all steps, and an operator adds more to it', {
  skip,
}, async (t) => {
  const { run, home } = setup(t)
  const extra = join(home, 'given')
  mkdirSync(extra)
  writeFileSync(join(extra, 'file'), 'given')
  const env = { ERRAND_ISOLATION: 'sandbox', ERRAND_NETWORK: 'none', ERRAND_SANDBOX_MOUNTS: `${extra}=rw` }
  const none = { isolation: undefined, network: undefined }
  const seen = await run([step(`id -un; cat ${extra}/file; echo; echo >${extra}/made`)], env, none)
  assert.match(seen.stdout, /local \| errand\nlocal \| given\n/)
  assert.ok(existsSync(join(extra, 'made')))
})
