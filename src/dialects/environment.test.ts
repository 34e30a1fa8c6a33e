import assert from 'node:assert/strict'
import { cpus, hostname, totalmem } from 'node:os'
import test from 'node:test'
import { ErrandError } from '../contract/errors.ts'
import {
  botEnvironment,
  clientEnvironment,
  givenTokens,
  hubAddress,
  runnerEnvironment,
} from './environment.ts'

test('what a runner is not told is measured', () => {
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

test('the old names of every variable are taken', () => {
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
  })
  assert.deepEqual(clientEnvironment({ AVTOMATIKA_URL: 'u', AVTOMATIKA_TOKEN: 't' }), {
    url: 'u',
    token: 't',
  })
  assert.equal(hubAddress({ OPENRUNNER_ADDR: ':4000' }), ':4000')
})

test("Errand's own name wins, and an empty value counts as not set", () => {
  assert.equal(runnerEnvironment({ ERRAND_GROUP: 'new', ADOS_GROUP: 'old' }).group, 'new')
  assert.equal(runnerEnvironment({ ERRAND_GROUP: '', ADOS_GROUP: 'old' }).group, 'old')
})

test('memory is read in the units people write', () => {
  for (const [text, bytes] of [
    ['512MB', 512 * 1024 ** 2],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['2g', 2 * 1024 ** 3],
    ['1073741824', 1024 ** 3],
  ] as const) {
    assert.equal(runnerEnvironment({ ERRAND_MEMORY: text }).memoryBytes, bytes, text)
  }
})

test('a wrong value is refused under the name it was given', () => {
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

test('a name that misleads is refused under the name it was given, with the character', () => {
  for (const [name, value, says] of [
    ['WORKER_ID', 'a\nb', 'U+000A at place 2'],
    ['ADOS_GROUP', 'gpu ', 'ends with a blank'],
    ['ERRAND_HOSTNAME', '\x1b[2J', 'U+001B at place 1'],
    ['ERRAND_TENANT_ID', 'x'.repeat(201), 'has 201 characters'],
  ] as const)
    assert.throws(
      () => runnerEnvironment({ [name]: value }),
      ({ code, message, hint }: ErrandError) =>
        code === 'invalid_argument' && message.includes(name) && message.includes(says) && hint !== undefined,
      name,
    )
})

test('the quota of bots is read under both names, and checked', () => {
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

test("the operator's own tokens are read under both names; a short one is refused without being told", () => {
  const [client, runner] = ['a client token of 16', 'x'.repeat(16)].map((text) => text.replaceAll(' ', '-'))
  assert.deepEqual(givenTokens({ CLIENT_TOKEN: client, GLOBAL_WORKER_TOKEN: runner }), { client, runner })
  assert.deepEqual(givenTokens({}), { client: undefined, runner: undefined })
  assert.throws(
    () => givenTokens({ CLIENT_TOKEN: 'short' }),
    ({ message }: Error) => message.startsWith('CLIENT_TOKEN is no') && !message.includes('short'),
  )
})
