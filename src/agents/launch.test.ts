import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { acp } from './acp/acp.ts'
import type { SessionRequest } from './agent.ts'
import { copilot } from './copilot/copilot.ts'
import { opencode } from './opencode/opencode.ts'

const program = { path: '/opt/agent', version: '1' }
const request = (change: Partial<SessionRequest> = {}): SessionRequest => ({
  cwd: tmpdir(),
  home: '/var/empty/session',
  extra_args: [],
  ask: 'ask',
  new_session_id: '0',
  env: { HOME: '/var/empty' },
  ...change,
})

it('refuses an acp agent that has no command or whose program does not exist', () => {
  assert.throws(() => acp.launch(request(), program), { code: 'invalid_argument' })
  const absent = request({ command: ['no-such-agent', '--acp'] })
  assert.throws(() => acp.launch(absent, program), { message: /"no-such-agent"/ })
})

it('starts an acp agent with its command, and puts further arguments last', () => {
  const launch = acp.launch(request({ command: ['sh', '-c', 'x'], extra_args: ['y'] }), program)
  assert.match(launch.program ?? '', /\/sh$/)
  assert.deepEqual(launch.args, ['-c', 'x', 'y'])
})

it('refuses arguments that would stop Copilot from asking', () => {
  for (const arg of ['--yolo', '--allow-all-tools', '--allow-tool=shell', '--mode=autopilot'])
    assert.throws(() => copilot.launch(request({ extra_args: [arg] }), program), {
      code: 'invalid_argument',
    })
  assert.ok(copilot.launch(request({ ask: 'allow', extra_args: ['--yolo'] }), program))
})

it('refuses Copilot if a rule is about reading, because Copilot does not ask before it reads', () => {
  assert.throws(() => copilot.launch(request({ asks_reading: true }), program), {
    message: /does not ask before it reads/,
  })
})

it('overrides an environment variable that would stop Copilot from asking', () => {
  const launch = copilot.launch(request({ env: { COPILOT_ALLOW_ALL: 'true' } }), program)
  assert.equal(launch.env.COPILOT_ALLOW_ALL, 'false')
})

it("uses the user's own login for an agent if no key is given", (context) => {
  const user = mkdtempSync(join(tmpdir(), 'errand-login-'))
  context.after(() => rmSync(user, { recursive: true }))
  mkdirSync(join(user, '.copilot'))
  mkdirSync(join(user, '.local/share/opencode'), { recursive: true })
  writeFileSync(join(user, '.local/share/opencode/auth.json'), '{}')
  const own = request({ env: { HOME: user } })
  assert.equal(copilot.launch(own, program).env.COPILOT_HOME, join(user, '.copilot'))
  assert.equal(opencode.launch(own, program).env.XDG_DATA_HOME, undefined)
  const keyed = request({ env: { HOME: user, COPILOT_PROVIDER_BASE_URL: 'http://localhost/v1' } })
  assert.equal(copilot.launch(keyed, program).env.COPILOT_HOME, '/var/empty/session/copilot')
  assert.equal(opencode.launch(request(), program).env.XDG_DATA_HOME, '/var/empty/session/opencode/data')
})

it('extends the OpenCode configuration that the step gives, and refuses an invalid one', () => {
  const configured = { provider: { own: { npm: 'x' } }, agent: { build: { steps: 9 } } }
  const env = { OPENCODE_CONFIG_CONTENT: JSON.stringify(configured), OPENAI_BASE_URL: 'http://localhost:1' }
  const launch = opencode.launch(request({ env, model: 'openai/m' }), program)
  const config = JSON.parse(launch.env.OPENCODE_CONFIG_CONTENT ?? '')
  assert.deepEqual(config.provider.own, { npm: 'x' })
  assert.deepEqual(config.provider.openai, {
    options: { baseURL: 'http://localhost:1/v1' },
    models: { m: {} },
  })
  assert.equal(config.agent.build.steps, 9)
  assert.equal(config.agent.build.permission.edit, 'ask')
  const broken = request({ env: { OPENCODE_CONFIG_CONTENT: '{' } })
  assert.throws(() => opencode.launch(broken, program), { code: 'invalid_argument' })
})
