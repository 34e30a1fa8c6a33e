import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BotLive, BotSource } from '../../src/contract/bots/bot.ts'
import { DEFAULT_BOT_QUOTA } from '../../src/hub/bots/bot-admission.ts'
import { errandCommand } from '../support/errand-command.ts'
import { testingHub } from '../support/hub/hub-fixture.ts'

/** Starts the real command line and hub, with a stand-in for the machines. */
async function setUp(t: TestContext, options?: Parameters<typeof testingHub>[1]) {
  const hub = await testingHub(t, options)
  const { token } = await hub.user('ann')
  const errand = errandCommand(t)
  const env = { ERRAND_URL: undefined, AVTOMATIKA_URL: hub.url, AVTOMATIKA_TOKEN: token }
  const bot = async (args: string[], options: { env?: NodeJS.ProcessEnv; stdin?: string } = {}) =>
    await errand.run(['bot', ...args], {
      stdin: '',
      ...options,
      cwd: errand.home,
      env: { ...env, ...options.env },
    })
  const onMachine = async (id: string, not?: string) => {
    for (;;) {
      const found = hub.host.bots.get(id)
      if (found !== undefined && found.spec.attempt_id !== not) return found
      await sleep(5)
    }
  }
  return { hub, errand, bot, onMachine, env }
}

test('a bot is started, followed, listed, searched, changed and stopped', async (t) => {
  const { hub, errand, bot, onMachine, env } = await setUp(t)
  writeFileSync(join(errand.home, 'bot.py'), 'import texts\n')
  writeFileSync(join(errand.home, 'texts.py'), 'HI = 1\n')
  writeFileSync(join(errand.home, 'token.txt'), '123456:the-token\n')
  const starting = bot(
    [
      'start',
      'echo',
      '--simple',
      'bot.py',
      'texts.py',
      '-r',
      'aiogram>=3.0',
      '-r',
      'httpx',
      '-e',
      'BOT_TOKEN=@token.txt',
    ].concat(['-e', 'CHANNEL=@@news-channel', '-e', 'FROM_ENV', '--plain', 'LANG=C', '--memory', '300MB']),
    { env: { FROM_ENV: 'out of the environment' } },
  )
  const echo = await onMachine('echo')
  await echo.phase('building', 'Step 2/5')
  await echo.phase('running', 'image abc')
  const started = await starting
  assert.deepEqual([started.code, started.stdout.split(' (')[0]], [0, 'echo is running'], started.stderr)
  assert.match(started.stderr, /building: Step 2\/5\nrunning: image abc\n/)
  assert.deepEqual(await hub.secrets.reveal(echo.spec), {
    BOT_TOKEN: '123456:the-token',
    CHANNEL: '@news-channel',
    FROM_ENV: 'out of the environment',
  })
  const source = echo.spec.args.source as BotSource & { mode: 'simple' }
  assert.deepEqual(source.files, { 'bot.py': 'import texts\n', 'texts.py': 'HI = 1\n' })
  assert.deepEqual([source.entrypoint, source.requirements], ['bot.py', ['aiogram>=3.0', 'httpx']])

  assert.match((await bot(['list'])).stdout, /^BOT +STATE +UP .*\necho +running /)
  assert.equal(JSON.parse((await bot(['list', '--json'])).stdout)[0].limits.memory, '300MB')
  assert.match(
    (await bot(['status', 'echo'])).stdout,
    /state +running\n(.*\n)*secrets +BOT_TOKEN, CHANNEL, FROM_ENV\n/,
  )
  const following = errand.start(['bot', 'logs', 'echo', '-f'], { env })
  await echo.say('one\ntwo\nthr')
  await following.until('two')
  await echo.say('ee\n')
  await following.until('three')
  assert.equal((await bot(['logs', 'echo', '--search', 'TW'])).stdout, 'two\n')

  const updating = bot(['update', 'echo', '--image', 'busybox:1', '--username', 'ann', '--password-stdin'], {
    stdin: 'of the registry\n',
  })
  const fresh = await onMachine('echo', echo.spec.attempt_id)
  // This is read before the bot runs, because the password is removed once its image is there.
  assert.equal((await hub.secrets.reveal(fresh.spec)).BOT_REGISTRY_PASSWORD, 'of the registry')
  await fresh.phase('running', 'busybox')
  const updated = await updating
  assert.deepEqual([updated.code, updated.stdout.split(' (')[0]], [0, 'echo is updated'], updated.stderr)
  await fresh.say('four\n')
  await following.until('four')

  const broken = bot(['update', 'echo', '--image', 'busybox:2'])
  const failing = await onMachine('echo', fresh.spec.attempt_id)
  failing.end({ outcome: 'failed', reason: 'pull_failed', message: 'there is no busybox:2' })
  const failed = await broken
  assert.equal(failed.code, 1)
  assert.match(failed.stderr, /echo was not updated: the new one has crashed.*no busybox:2/s)
  assert.match(failed.stderr, /old one is still running/)

  const stopped = await bot(['stop', 'echo'])
  assert.deepEqual([stopped.code, stopped.stdout], [0, 'echo is stopped.\n'])
  const all = await following.finished
  assert.deepEqual([all.code, all.stdout], [0, 'one\ntwo\nthree\nfour\n'])
  assert.match((await bot(['list'])).stdout, /^No bots are running/)
  assert.match((await bot(['list', '--all'])).stdout, /\necho +stopped/)
  assert.equal((await bot(['restart', 'echo'])).code, 1)
})

test('a log that is not shown whole is reported as such, also when followed', async (t) => {
  const { errand, bot, onMachine, env } = await setUp(t)
  writeFileSync(join(errand.home, 'bot.py'), 'x\n')
  assert.equal((await bot(['start', 'long', '--simple', 'bot.py', '--detach'])).code, 0)
  const long = await onMachine('long')
  await long.say(`${'x'.repeat(100_000)}\n`)
  const cut = /^Older lines or parts of long lines are left out\. See all with: errand runs logs run_\w+$/m
  assert.match((await bot(['logs', 'long', '--search', 'no such'])).stderr, cut)
  const following = errand.start(['bot', 'logs', 'long', '-f', '--search', 'no such'], { env })
  await following.until(cut)
  long.end({ outcome: 'success' })
  assert.equal((await following.finished).code, 0)
})

test('a bot that crashes and restarts is not reported as running', async (t) => {
  const { bot, onMachine } = await setUp(t)
  const starting = bot(['start', 'loops', '--image', 'busybox', '--restart', 'on-failure:1'])
  const loops = await onMachine('loops')
  await loops.phase('running', 'image abc')
  await loops.phase('restarting', 'Exit code 3. Restart 1 of 1 in 1 s.')
  // A bot that keeps running is reported as running meanwhile. The first bot would have been too.
  const going = bot(['start', 'goes-on', '--image', 'busybox'])
  await (await onMachine('goes-on')).phase('running', 'image abc')
  assert.equal((await going).code, 0)
  loops.end({ outcome: 'failed', reason: 'exit_code', exit_code: 3, message: 'Exit code 3.' })
  const { code, stderr } = await starting
  assert.equal(code, 1, stderr)
  assert.match(stderr, /restarting: Exit code 3.*\nerror: loops has ended: Exit code 3\.\n/)
})

test('a folder is packed and uploaded, an archive and a Git URL are accepted unchanged', async (t) => {
  const { hub, errand, bot, onMachine } = await setUp(t)
  mkdirSync(join(errand.home, 'project'))
  writeFileSync(join(errand.home, 'project', 'Dockerfile'), 'FROM busybox\n')
  assert.equal((await bot(['start', 'one', '--custom', './project/', '--detach'])).code, 0)
  const one = (await onMachine('one')).spec.args.source as BotSource & { mode: 'archive' }
  const { stream } = await hub.uploads.open('default', one.upload)
  const packed = Buffer.concat(await stream.toArray())
  assert.deepEqual([...packed.subarray(0, 2)], [0x1f, 0x8b])
  writeFileSync(join(errand.home, 'code.tar.gz'), packed)
  assert.equal((await bot(['start', 'two', '--custom', 'code.tar.gz', '-d', '--json'])).code, 0)
  assert.deepEqual((await onMachine('two')).spec.args.source, one)
  assert.equal(
    (await bot(['start', 'three', '--custom', 'https://git.example/a.git', '--ref', 'v1', '-d'])).code,
    0,
  )
  assert.deepEqual((await onMachine('three')).spec.args.source, {
    mode: 'git',
    url: 'https://git.example/a.git',
    ref: 'v1',
    dockerfile: 'Dockerfile',
  })
  const git = ['update', 'three', '--custom', 'https://git.example/a.git', '-d']
  const three = await onMachine('three')
  await three.phase('running')
  const token = await bot([...git, '--git-token', '--password-stdin', '--refresh'], { stdin: 'of ann\n' })
  assert.equal(token.code, 0, token.stderr)
  const { spec } = await onMachine('three', three.spec.attempt_id)
  assert.deepEqual(
    [(await hub.secrets.reveal(spec)).BOT_REGISTRY_PASSWORD, spec.args.refresh],
    ['of ann', true],
  )
  const fourth = await bot(['start', 'four', '--image', 'busybox'])
  assert.equal(fourth.code, 1)
  assert.match(fourth.stderr, /^error: Maximum 3 bots\n {2}hint: You have "one", "three", "two"/)
})

test("a health check, a policy and an unlimited lifetime are accepted, and shown with the bot's usage", async (t) => {
  const live = new Map<string, BotLive>()
  const quota = { maxBots: 3, maxSeconds: Number.POSITIVE_INFINITY }
  const { errand, bot, onMachine } = await setUp(t, {
    botQuota: { ...DEFAULT_BOT_QUOTA, ...quota },
    machines: { liveBot: (id) => live.get(id) },
  })
  writeFileSync(join(errand.home, 'bot.py'), 'x')
  const health = ['--health-cmd', 'test -e $HOME', '--health-interval', '9s', '--health-retries', '2']
  const args = ['--simple', 'bot.py', ...health, '--health-start-period', '0s', '--max-time', 'unlimited']
  const started = await bot(['start', 'echo', ...args, '--restart', 'unless-stopped', '--detach'])
  assert.equal(started.code, 0, started.stderr)
  const echo = await onMachine('echo')
  assert.deepEqual(echo.spec.args.health, {
    cmd: 'test -e $HOME',
    interval_seconds: 9,
    timeout_seconds: 30,
    retries: 2,
    start_period_seconds: 0,
  })
  assert.equal(echo.spec.timeout_ms, undefined)
  await echo.phase('running')
  const { attempt_id } = echo.spec
  live.set(attempt_id, {
    attempt_id,
    health: { state: 'unhealthy', output: 'no answer\nat all' },
    cannot_reach: 'No address was found for db.internal, which ERRAND_BOT_ALLOW names.',
    usage: { cpus: 0.254, peak_cpus: 0.5, cpu_ms: 61_000, memory_bytes: 5e6, peak_memory_bytes: 7.5e6 },
  })
  const { stdout } = await bot(['status', 'echo'])
  for (const row of [
    /^health +unhealthy: no answer$/m,
    /^cannot reach +what its runner allows: No address was found for db\.internal, which/m,
    /^restart +unless-stopped$/m,
    /^time +unlimited$/m,
    /^cpu +0\.25 cores, at most 0\.5 cores, 1 m 01 s so far$/m,
    /^memory +4\.8 MB, at most 7\.2 MB$/m,
  ])
    assert.match(stdout, row)
  assert.match((await bot(['list'])).stdout, /^echo +running \(unhealthy\) .* unlimited/m)
  assert.equal(JSON.parse((await bot(['status', 'echo', '--json'])).stdout).timeout_seconds, null)
  await bot(['update', 'echo', '--no-healthcheck', '--max-time', '2h', '--restart', 'always', '--detach'])
  const { spec } = await onMachine('echo', attempt_id)
  assert.deepEqual([spec.args.health, spec.timeout_ms], ['none', 7_200_000])
  assert.equal((spec.args.restart as { policy: string }).policy, 'always')
})

test('a typing mistake is reported with what to write', async (t) => {
  const { errand, bot } = await setUp(t)
  writeFileSync(join(errand.home, 'bot.py'), 'x')
  writeFileSync(join(errand.home, 'image.png'), Buffer.from([0x89, 0xff, 0xfe]))
  const simple = ['--simple', 'bot.py']
  const wrong: [string[], RegExp, number?][] = [
    [['start', 'a'], /no source/],
    [['start', '../a', ...simple], /a bot id is at most 63 letters/],
    [['start', 'a', ...simple, '--image', 'x'], /--simple and --image name two sources/],
    [['start', 'a', '--image', 'x', 'more.py'], /unexpected argument "more.py"/],
    [['start', 'a', '--image', 'x', '-r', 'y'], /--requirement works only with --simple/],
    [['start', 'a', '--simple', 'nothing.py'], /nothing.py cannot be read/],
    [['start', 'a', '--simple', 'image.png'], /not UTF-8 text/],
    [['start', 'a', ...simple, '--entrypoint', 'c.py'], /"c.py" is not among the files/],
    [['start', 'a', ...simple, '--git-token'], /--git-token works only with --custom/],
    [['start', 'a', ...simple, '--username', 'b'], /--username works only with --image or --custom/],
    [['start', 'a', '--custom', '.', '--git-token'], /--git-token works only with a Git URL/],
    [['start', 'a', '--custom', 'https://x.org/a', '--password-stdin'], /needs --git-token/],
    [
      ['start', 'a', '--custom', 'https://x.org/a', '--git-token', '--git-secret', 'B'],
      /--git-secret and --git-token both give a token/,
    ],
    [['start', 'a', '--custom', 'nowhere'], /folder or archive nowhere not found/],
    [['start', 'a', ...simple, '-e', 'NOT_SET'], /the environment has no such variable/],
    [['start', 'a', ...simple, '-e', 'A=@nothing'], /file of A cannot be read.*A=@@/s],
    [['start', 'a', ...simple, '--cpus', 'many'], /--cpus is "many"/],
    [['start', 'a', ...simple, '--restart', 'sometimes'], /use no, on-failure, on-failure:N, always or/],
    [['start', 'a', ...simple, '--restart', 'always:3'], /use no, on-failure, on-failure:N, always or/],
    [['start', 'a', ...simple, '--health-interval', '9s'], /--health-interval needs --health-cmd/],
    [
      ['start', 'a', ...simple, '--no-healthcheck', '--health-cmd', 'x'],
      /cannot be combined with other health options/,
    ],
    [['start', 'a', ...simple, '--health-cmd', 'x', '--health-interval', '1s'], /interval_seconds/],
    [['start', 'a', ...simple, '--max-time', 'unlimited'], /the maximum here is .*24 hours/],
    [['start', 'a', ...simple, '--max-time', '48h'], /the maximum here is .*24 hours/],
    [['logs', 'a', '--tail', 'all'], /--tail is "all"/],
    [['status', 'nobody'], /Bot "nobody" not found/, 7],
  ]
  for (const [args, message, code = 2] of wrong) {
    const answered = await bot(args)
    assert.match(answered.stderr, message)
    assert.match(answered.stderr, /hint: /)
    assert.equal(answered.code, code, answered.stderr)
  }
})
