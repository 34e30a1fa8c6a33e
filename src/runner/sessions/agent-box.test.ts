import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startModelServer } from '../../../test/support/model-server/server.ts'
import { endOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { type BoxedRunner, boxedPlace } from '../../../test/support/runner/boxed-sessions.ts'
import { update, updatesOf } from '../../../test/support/runner/session-fixture.ts'
import type { HeldAttempt } from '../ports.ts'

/** Sessions in boxes, with a fake agent and the built-in one. */

const skip = sandboxMissing()
const ROOT = join(import.meta.dirname, '../../..')
const STAND_IN = join(ROOT, 'test/support/acp-agent-stand-in.ts')
const command = [process.execPath, STAND_IN]

const placed = (context: TestContext, more: Partial<BoxedRunner> = {}) =>
  boxedPlace(context, { readable: [ROOT], network: { allow: ['allowed.example'] }, ...more })

const notices = (held: HeldAttempt) =>
  updatesOf(held).flatMap((each) => (each.kind === 'notice' ? [each.text] : []))

/** Reads a file that a command of the session's agent has written. */
async function written(held: HeldAttempt, file: string): Promise<string> {
  assert.equal((await endOf(held)).outcome, 'success', JSON.stringify(held.reports).slice(-3000))
  return readFileSync(file, 'utf8')
}

test("an agent in a box has its session's home, and no folder, proxy or key of the machine", {
  skip,
}, async (context) => {
  const env = {
    CODEX_HOME: '/srv/codex',
    XDG_CONFIG_HOME: '/srv/config',
    HTTPS_PROXY: 'http://proxy.example:3128',
    ANTHROPIC_API_KEY: 'sk-ant-of-another-agent',
    NODE_EXTRA_CA_CERTS: join(ROOT, 'package.json'),
  }
  const here = placed(context, { env })
  const attempts = await here.open()
  const prompt = 'run env >env.tmp; head -c1 $NODE_EXTRA_CA_CERTS >>env.tmp; mv env.tmp env.txt\nwait env.txt'
  const text = await written(
    await attempts.start(here.spec('acp', { command, prompt }), 1),
    join(here.workspace, 'env.txt'),
  )
  assert.match(text, new RegExp(`^HOME=${here.path}/sessions/homes/[^/]+/user$`, 'm'))
  assert.match(text, /^TMPDIR=\/tmp$/m)
  assert.match(text, /^HTTPS_PROXY=http:\/\/127\.0\.0\.1:\d+$/m)
  assert.match(text, /^\{/m)
  assert.doesNotMatch(text, /CODEX_HOME|XDG_CONFIG_HOME|sk-ant/)
})

test('a file that the step declares a certificate file does not enter the box', {
  skip,
}, async (context) => {
  const here = placed(context)
  const secret = join(here.path, 'hub-token')
  writeFileSync(secret, 'the hub itself')
  const prompt =
    'run (cat $SSL_CERT_FILE || echo nothing) >found.tmp 2>&1; mv found.tmp found.txt\nwait found.txt'
  const spec = here.spec('acp', { command, prompt }, { env: { SSL_CERT_FILE: secret } })
  const text = await written(await (await here.open()).start(spec, 1), join(here.workspace, 'found.txt'))
  assert.match(text, /nothing/)
  assert.doesNotMatch(text, /the hub itself/)
})

test('a program that the step names is also tested inside the box', { skip }, async (context) => {
  const here = placed(context, { asks: true })
  const mark = join(here.path, 'outside')
  const script = `echo tried >>${mark}; exec "$@"`
  const spec = here.spec('acp', {
    command: ['/bin/sh', '-c', script, 'sh', ...command],
    prompt: 'say done',
    permissions: 'ask',
  })
  const held = await (await here.open()).start(spec, 1)
  assert.equal((await endOf(held)).outcome, 'success', JSON.stringify(held.reports))
  assert.ok(!existsSync(mark))
})

test('an agent that needs a model is refused if it may reach nothing', { skip }, async (context) => {
  const here = placed(context, { network: 'none', env: { OPENAI_API_KEY: 'key' } })
  const held = await (await here.open()).start(here.spec('builtin', { prompt: 'Go.' }), 1)
  const end = await endOf(held)
  assert.equal(end.reason, 'invalid_argument')
  assert.match(end.message!, /could not reach a model: the step has network: none.*network: models/)
})

test('a model that is not allowed is refused before its agent starts', { skip }, async (context) => {
  const models = ['claude-haiku-*', 'gpt-5-mini']
  const here = placed(context, {
    models,
    env: { OPENAI_API_KEY: 'key', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' },
  })
  const attempts = await here.open()
  const ended = async (model: string) =>
    await endOf(await attempts.start(here.spec('builtin', { prompt: 'Go.', model }), 1))
  for (const model of ['gpt-5', 'openai/gpt-5-minimal']) {
    const end = await ended(model)
    assert.equal(end.reason, 'invalid_argument')
    assert.match(
      end.message!,
      /is not allowed on this machine\. Allowed: claude-haiku-\*, gpt-5-mini \(ERRAND_MODELS/,
    )
  }
  for (const model of ['openai/gpt-5-mini', 'claude-haiku-4-5'])
    assert.equal((await ended(model)).reason, 'model')
})

test('a refusal appears once in the stream, even if the runner was killed in between', {
  skip,
}, async (context) => {
  const here = placed(context)
  const ask = (host: string) =>
    `run node -e "require('net').connect(3128,'127.0.0.1').end('CONNECT ${host}:443 HTTP/1.1\\\\r\\\\nHost: ${host}:443\\\\r\\\\n\\\\r\\\\n')"`
  const prompt = [ask('one.example'), 'wait go', ask('one.example'), ask('two.example'), 'wait end'].join(
    '\n',
  )
  const kill = await here.other([here.spec('acp', { command, prompt })])
  const journal = () => {
    const [folder] = readdirSync(join(here.path, 'attempts'))
    return folder === undefined ? '' : readFileSync(join(here.path, 'attempts', folder, 'reports'), 'utf8')
  }
  await until(() => journal().includes('refused one.example:443'), 'the refusal')
  await kill()
  const [held] = await (await here.open()).recover()
  writeFileSync(join(here.workspace, 'go'), '')
  await update(held!, 'notice', ({ text }) => text.includes('two.example'))
  writeFileSync(join(here.workspace, 'end'), '')
  assert.equal((await endOf(held!)).outcome, 'success')
  assert.deepEqual(
    notices(held!).map((text) => /\w+\.example/.exec(text)?.[0]),
    ['one.example', 'two.example'],
  )
})

test('the endpoint enforces a token budget, even for an agent that never reports its usage', {
  skip,
}, async (context) => {
  const server = await startModelServer({
    script: () => ({ text: 'More.' }),
  })
  context.after(() => server.stop())
  const here = placed(context, { env: { OPENAI_BASE_URL: `${server.url}/v1` } })
  const ask = `node -e "fetch(process.env.OPENAI_BASE_URL+'/chat/completions',{method:'POST',headers:{authorization:'Bearer '+process.env.MY_KEY,'content-type':'application/json'},body:JSON.stringify({model:'m',max_tokens:10,messages:[]})}).then((r)=>r.text()).then((t)=>require('fs').appendFileSync('answers.txt',t+'\\n'))"`
  const prompt = [`run ${ask}; ${ask}; ${ask}`, 'wait never'].join('\n')
  const spec = here.spec(
    'acp',
    { command, prompt, budget: { tokens: 100 }, proxy_env: { MY_KEY: 'openai' } },
    { env: { MY_KEY: 'sk-of-the-step' } },
  )
  const held = await (await here.open()).start(spec, 1)
  const end = await endOf(held)
  assert.equal(end.reason, 'budget', JSON.stringify(held.reports).slice(-3000))
  assert.match(end.message!, /110 of 100 tokens are used/)
  assert.equal(server.requests.length, 1)
  assert.ok(server.requests.every(({ key }) => key === 'sk-of-the-step'))
  const last = updatesOf(held).findLast((each) => each.kind === 'usage')
  assert.ok(last?.kind === 'usage')
  assert.deepEqual([last.session.input_tokens, last.session.output_tokens], [100, 10])
})

test('a sign-in enters the box only as a requested copy, and the run says so', {
  skip,
}, async (context) => {
  const here = placed(context, { signIn: 'copy' })
  const data = join(here.runner.env.HOME!, '.local/share/opencode')
  mkdirSync(data, { recursive: true })
  writeFileSync(join(data, 'auth.json'), '{"anthropic":{"type":"api","key":"sk-of-the-user"}}')
  const attempts = await here.open()
  const held = await attempts.start(here.spec('opencode', { prompt: 'Go.' }), 1)
  await until(() => held.ended || JSON.stringify(held.reports).includes('"isolation"'), 'the phase')
  if (held.ended) return context.skip('OpenCode is not installed here')
  const phase = held.reports.find((report) => report.type === 'phase' && report.phase === 'isolation')
  assert.match(JSON.stringify(phase), /sign-in of OpenCode is in the sandbox/)
  const [home] = readdirSync(join(here.path, 'sessions', 'homes'))
  assert.match(
    readFileSync(join(here.path, 'sessions/homes', home!, 'opencode/data/opencode/auth.json'), 'utf8'),
    /sk-of-the-user/,
  )
  held.cancel(0, 'canceled')
  await endOf(held)
})

test("the user's sign-in stays at the proxy, which sends it in place of a sentinel", {
  skip,
}, async (context) => {
  const token = 'sk-ant-oat01-of-a-file-0123456789'
  const server = await startModelServer({ script: () => ({ text: 'Done.' }), keys: [token] })
  context.after(() => server.stop())
  const here = placed(context, { env: { ANTHROPIC_BASE_URL: server.url } })
  const folder = join(here.runner.env.HOME!, '.claude')
  mkdirSync(folder)
  const signIn = { accessToken: token, refreshToken: 'sk-ant-ort01-x', expiresAt: Date.now() + 3_600_000 }
  writeFileSync(join(folder, '.credentials.json'), JSON.stringify({ claudeAiOauth: signIn }))
  const seen = [`(env; cat /proc/*/environ; ls -a ~ ${folder}) >seen.txt 2>&1; true`]
  const attempts = await here.open()
  const held = await attempts.start(here.spec('claude_code', { prompt: 'Go.', verify: seen }), 1)
  const end = await endOf(held)
  if (/is not installed/.test(end.message ?? '')) return context.skip('Claude Code is not installed here')
  assert.equal(end.outcome, 'success', JSON.stringify(held.reports).slice(-3000))
  assert.ok(server.requests.length > 0 && server.requests.every(({ key }) => key === token))
  const text = readFileSync(join(here.workspace, 'seen.txt'), 'utf8')
  assert.match(text, /No such file/)
  assert.doesNotMatch(text, /sk-ant-o[ar]t01/)
  assert.ok(!held.reports.some((report) => report.type === 'phase' && report.phase === 'isolation'))
})

test('a verify command runs in the box, without the key that the step gave its agent', {
  skip,
}, async (context) => {
  const key = 'sk-the-steps-own-key-0123456789'
  const server = await startModelServer({ script: () => ({ text: 'Done.' }), keys: [key] })
  context.after(() => server.stop())
  const here = placed(context, { env: { OPENAI_BASE_URL: `${server.url}/v1` } })
  const hidden = join(here.path, 'hub-token')
  writeFileSync(hidden, 'the hub itself')
  const verify = [`(printenv OPENAI_API_KEY; cat ${hidden}) >verified.txt 2>&1; true`]
  const spec = here.spec('builtin', { prompt: 'Go.', model: 'm', verify }, { env: { OPENAI_API_KEY: key } })
  const text = await written(await (await here.open()).start(spec, 1), join(here.workspace, 'verified.txt'))
  assert.match(text, /^sk-errand-/)
  assert.doesNotMatch(text, /the-steps-own-key|the hub itself/)
})
