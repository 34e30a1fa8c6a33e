import assert from 'node:assert/strict'
import { cpus, hostname, totalmem } from 'node:os'
import test from 'node:test'
import { ErrandError } from '../contract/errors.ts'
import {
  allowedHosts,
  botEnvironment,
  clientEnvironment,
  configuredTokens,
  leaseOf,
  outputLimits,
  runnerEnvironment,
  trustedProxies,
} from './environment.ts'
import { setting } from './read-setting.ts'

test('measures what is not set for a runner', () => {
  const found = runnerEnvironment({})
  assert.equal(found.hostname, hostname())
  assert.equal(found.cpus, cpus().length)
  assert.equal(found.slots, Math.max(8, cpus().length * 4))
  assert.equal(runnerEnvironment({ ERRAND_CPUS: '10.5' }).slots, 40)
  assert.equal(runnerEnvironment({ ERRAND_SLOTS: '3', ERRAND_CPUS: '10' }).slots, 3)
  assert.equal(found.memoryBytes, totalmem())
  assert.equal(found.group, 'default')
  assert.equal(found.mode, 'all')
  assert.equal(found.hubUrl, undefined)
})

test('accepts the old names of every variable', () => {
  const found = runnerEnvironment({
    ADOS_API_URL: 'http://hub',
    ADOS_TOKEN: 't',
    ADOS_RUNNER_ID: 'r',
    ADOS_MODE: 'issue',
    ADOS_GROUP: 'g',
    ADOS_CPUS: '2.5',
    ADOS_MEMORY: '8GB',
    ADOS_HOSTNAME: 'h',
    ADOS_TENANT_ID: 'acme',
    ERRAND_ENROLL_TOKEN: 'once',
    ERRAND_MADE_RUNNER: 'errand-1',
    ERRAND_LABELS: 'gpu=a100,disk=ssd',
    WORKSPACE_DIR: '/w',
  })
  assert.deepEqual(found, {
    hubUrl: 'http://hub',
    token: 't',
    runnerId: 'r',
    workspaceDir: '/w',
    mode: 'issue',
    group: 'g',
    cpus: 2.5,
    memoryBytes: 8 * 1024 ** 3,
    slots: 8,
    hostname: 'h',
    tenantId: 'acme',
    enrollToken: 'once',
    made: 'errand-1',
    labels: ['gpu=a100', 'disk=ssd'],
  })
  assert.deepEqual(clientEnvironment({ AVTOMATIKA_URL: 'u', AVTOMATIKA_TOKEN: 't' }), {
    url: 'u',
    token: 't',
  })
  assert.equal(setting({ OPENRUNNER_ADDR: ':4000' }, 'ERRAND_ADDR'), ':4000')
})

test("Errand's own name wins, and an empty value counts as not set", () => {
  assert.equal(runnerEnvironment({ ERRAND_GROUP: 'new', ADOS_GROUP: 'old' }).group, 'new')
  assert.equal(runnerEnvironment({ ERRAND_GROUP: '', ADOS_GROUP: 'old' }).group, 'old')
})

test('reads memory in the usual units', () => {
  for (const [text, bytes] of [
    ['512MB', 512 * 1024 ** 2],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['2g', 2 * 1024 ** 3],
    ['1073741824', 1024 ** 3],
  ] as const) {
    assert.equal(runnerEnvironment({ ERRAND_MEMORY: text }).memoryBytes, bytes, text)
  }
})

test('refuses an invalid value under the name that was used', () => {
  for (const [name, value] of [
    ['ERRAND_MODE', 'talk'],
    ['ADOS_CPUS', 'four'],
    ['ERRAND_CPUS', '0'],
    ['ERRAND_SLOTS', '0'],
    ['ERRAND_SLOTS', '1.5'],
    ['ERRAND_SLOTS', 'many'],
    ['ADOS_MEMORY', '8 apples'],
    ['ERRAND_MEMORY', '8'],
  ] as const) {
    assert.throws(
      () => runnerEnvironment({ [name]: value }),
      (error) =>
        error instanceof ErrandError && error.code === 'invalid_argument' && error.message.includes(name),
    )
  }
})

test('refuses a misleading name under the variable that was used, with the character', () => {
  for (const [name, value, expected] of [
    ['WORKER_ID', 'a\nb', 'U+000A at position 2'],
    ['ADOS_GROUP', 'gpu ', 'ends with a blank'],
    ['ERRAND_HOSTNAME', '\x1b[2J', 'U+001B at position 1'],
    ['ERRAND_TENANT_ID', 'x'.repeat(201), 'has 201 characters'],
  ] as const)
    assert.throws(
      () => runnerEnvironment({ [name]: value }),
      ({ code, message, hint }: ErrandError) =>
        code === 'invalid_argument' &&
        message.includes(name) &&
        message.includes(expected) &&
        hint !== undefined,
      name,
    )
})

test('reads the quota of bots under both names, and checks it', () => {
  assert.deepEqual(botEnvironment({}), {})
  assert.deepEqual(botEnvironment({ ERRAND_BOT_DATA: '2GB' }), { maxDataBytes: 2 * 1024 ** 3 })
  assert.deepEqual(botEnvironment({ ERRAND_BOT_DATA: '0' }), { maxDataBytes: 0 })
  assert.throws(() => botEnvironment({ ERRAND_BOT_DATA: 'much' }), {
    code: 'invalid_argument',
    message: /is "much/,
  })
  assert.deepEqual(botEnvironment({ MAX_BOTS_PER_USER: '5', ERRAND_BOT_HOURS: '0.5' }), {
    maxBots: 5,
    maxSeconds: 1800,
  })
  const endless = botEnvironment({ ERRAND_BOT_HOURS: 'unlimited', ERRAND_BOT_DEFAULT_HOURS: '2' })
  assert.deepEqual([endless.maxSeconds, endless.defaultSeconds], [Number.POSITIVE_INFINITY, 7200])
  assert.equal(botEnvironment({ MAX_BOTS_PER_USER: '5', ERRAND_MAX_BOTS: '2' }).maxBots, 2)
  for (const wrong of [{ MAX_BOTS_PER_USER: '-1' }, { ERRAND_MAX_BOTS: 'many' }, { ERRAND_BOT_HOURS: '0' }])
    assert.throws(() => botEnvironment(wrong), { code: 'invalid_argument', message: /is "/ })
})

test("reads the operator's own tokens under both names; refuses a short one without showing it", () => {
  const [client, runner] = ['a client token of 16', 'x'.repeat(16)].map((text) => text.replaceAll(' ', '-'))
  assert.deepEqual(configuredTokens({ CLIENT_TOKEN: client, GLOBAL_WORKER_TOKEN: runner }), {
    client,
    runner,
  })
  assert.deepEqual(configuredTokens({}), { client: undefined, runner: undefined })
  assert.throws(
    () => configuredTokens({ CLIENT_TOKEN: 'short' }),
    ({ message }: Error) => message.startsWith('CLIENT_TOKEN is not') && !message.includes('short'),
  )
})

test('reads names of the hub one by one; refuses an invalid name', () => {
  assert.deepEqual(allowedHosts({}), [])
  assert.deepEqual(allowedHosts({ ERRAND_HOST_ALLOW: ' Hub.Example.com, hub,' }), ['hub.example.com', 'hub'])
  for (const wrong of ['https://hub', 'hub:3000', 'a b', '*.example.com'])
    assert.throws(() => allowedHosts({ ERRAND_HOST_ALLOW: `hub,${wrong}` }), {
      message: `ERRAND_HOST_ALLOW contains "${wrong}", which is not a host name`,
    })
})

test('trusted proxies are addresses and ranges; anything else is refused at the start', () => {
  assert.deepEqual(trustedProxies({}), [])
  const env = { ERRAND_TRUSTED_PROXIES: ' 127.0.0.1, 10.0.0.0/8,fd00::/8,' }
  assert.deepEqual(trustedProxies(env), ['127.0.0.1', '10.0.0.0/8', 'fd00::/8'])
  for (const wrong of ['proxy.example', '10.0.0.0/33', '10.0.0.1:80', '*'])
    assert.throws(() => trustedProxies({ ERRAND_TRUSTED_PROXIES: `127.0.0.1,${wrong}` }), {
      code: 'bad_request',
      message: `ERRAND_TRUSTED_PROXIES contains "${wrong}", which is not an address or a range`,
      hint: /addresses or ranges/,
    })
})

test('metrics are open only if that is set, and no other value is valid', () => {
  assert.deepEqual(
    [setting({}, 'ERRAND_METRICS'), setting({ ERRAND_METRICS: 'open' }, 'ERRAND_METRICS')],
    [undefined, 'open'],
  )
  assert.throws(() => setting({ ERRAND_METRICS: 'yes' }, 'ERRAND_METRICS'), /ERRAND_METRICS is "yes"/)
})

test('reads limits for stored output as amounts; each limit can be turned off', () => {
  const read = (run?: string, user?: string) =>
    outputLimits({ ERRAND_MAX_OUTPUT_RUN: run, ERRAND_MAX_OUTPUT_USER: user })
  assert.deepEqual(read(), { perRunBytes: 10 * 1024 ** 3, perUserBytes: undefined })
  assert.deepEqual(read('', ''), read())
  assert.deepEqual(read('500MB', '1.5 TB'), { perRunBytes: 500 * 1024 ** 2, perUserBytes: 1.5 * 1024 ** 4 })
  assert.deepEqual(read('none', 'none'), { perRunBytes: undefined, perUserBytes: undefined })
  assert.throws(() => read('10'), /ERRAND_MAX_OUTPUT_RUN is "10"/)
  assert.throws(() => read('', 'lots'), /ERRAND_MAX_OUTPUT_USER is "lots"/)
})

test('heartbeat and lease come from the options, then the environment, then the defaults', () => {
  assert.deepEqual(leaseOf({}, {}), { heartbeatMs: 5_000, lostAfterMs: 60_000 })
  const env = { ERRAND_HEARTBEAT: '2s', ERRAND_LOST_AFTER: '10m' }
  assert.deepEqual(leaseOf({}, env), { heartbeatMs: 2_000, lostAfterMs: 600_000 })
  assert.deepEqual(leaseOf({ heartbeat: '0.5s' }, env), { heartbeatMs: 500, lostAfterMs: 600_000 })
})

test('refuses a time that is invalid, too short or too long, and says which', () => {
  for (const text of ['5', 'soon', '0s', '0.05s', '4w', '-1s'])
    assert.throws(() => leaseOf({ 'lost-after': text }, {}), {
      code: 'bad_request',
      message: `--lost-after is "${text}", which is not valid`,
    })
  assert.throws(() => leaseOf({}, { ERRAND_HEARTBEAT: 'x' }), /ERRAND_HEARTBEAT is "x"/)
})
