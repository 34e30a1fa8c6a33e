import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigFile, parseConfig } from './config-file.ts'

const sample = 'repos: [{name: frontend-app, work_runner_group: frontend-runners}]\n'

function open(t: TestContext, text: string) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-config-'))
  const file = join(dir, 'errand.yaml')
  writeFileSync(file, text)
  const logged: string[] = []
  const config = new ConfigFile({ file, log: (message) => logged.push(message) })
  t.after(() => {
    config.close()
    config.close()
    rmSync(dir, { recursive: true })
  })
  return { config, file, logged }
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 120_000; !condition(); await sleep(20)) assert.ok(Date.now() < end, 'in time')
}

test('a repository has the group that the file says, another one has none', (t) => {
  const { config } = open(t, sample)
  assert.equal(config.groupOf('frontend-app'), 'frontend-runners')
  assert.equal(config.groupOf('backend-app'), undefined)
  assert.equal(config.groupOf(undefined), undefined)
})

test('an empty file, a file without repositories and a missing file set nothing', () => {
  for (const text of ['', '# nothing yet\n', 'repos:\n', 'repos: []\n', 'repos: [{name: app}]\n'])
    assert.equal(parseConfig(text, 'errand.yaml').groups.size, 0, text)
  const none = new ConfigFile({ file: undefined, log: () => assert.fail('nothing to tell') })
  none.reload()
  assert.equal(none.groupOf('app'), undefined)
})

test('warns of unknown keys with their line, and the rest applies', () => {
  const text = `theme: dark\nrepos:\n  - name: app\n    work_runner_grp: x\n  - {name: web, work_runner_group: g}\n`
  const { groups, warnings } = parseConfig(text, 'ados.yaml')
  assert.deepEqual([...groups], [['web', 'g']])
  assert.equal(warnings.length, 2)
  assert.match(warnings[0]!, /^ados.yaml:1:1: warning: unknown key "theme" is ignored/)
  assert.match(warnings[1]!, /^ados.yaml:4:5: .*\n {2}hint: did you mean "work_runner_group"\?/)
})

test('reports a mistake with file, line and hint', () => {
  for (const [text, message] of [
    ['repos: [', /^errand.yaml:/],
    ['repos: yes\n', /^errand.yaml:1:8: repos .*must be a list/],
    ['repos:\n  - work_runner_group: g\n', /^errand.yaml:2:5: .*name.* is missing/],
    ['repos:\n  - name: app\n    work_runner_group: 7\n', /^errand.yaml:3:24: .*must be text/],
    ['repos:\n  - {name: a, work_runner_group: g}\n  - {name: a}\n', /^errand.yaml:3:12: .*appears twice/],
    ['repos:\n  - {name: "a\\nb"}\n', /^errand.yaml:2:12: .*U\+000A at position 2/],
    ['just text', /^errand.yaml:1:1: the file must be a map/],
  ] as const)
    assert.throws(
      () => parseConfig(text, 'errand.yaml'),
      { code: 'invalid_argument', message, hint: /\S/ },
      text,
    )
})

test('a missing file is an error at the start', () => {
  const file = join(tmpdir(), 'errand-there-is-no-such.yaml')
  assert.throws(() => new ConfigFile({ file, log: () => {} }), {
    code: 'invalid_argument',
    message: /ENOENT/,
  })
})

test('reads a change; reports an invalid one, which changes nothing', async (t) => {
  const { config, file, logged } = open(t, sample)
  writeFileSync(file, sample.replace('frontend-runners', 'other'))
  await until(() => config.groupOf('frontend-app') === 'other')
  writeFileSync(file, 'repos: no list\n')
  await until(() => logged.some((line) => line.includes('must be a list')))
  assert.match(logged.at(-1)!, /stays in effect/)
  assert.equal(config.groupOf('frontend-app'), 'other')
  rmSync(file)
  await until(() => logged.some((line) => line.includes('cannot be read')))
  writeFileSync(file, sample)
  await until(() => config.groupOf('frontend-app') === 'frontend-runners')
})

test('a runner group has the minimum box that the file says, now and after each change', async (t) => {
  const { config, file } = open(
    t,
    'groups:\n  shared: {isolation: sandbox, network: {allow: [a.example]}}\n  own:  {}\n',
  )
  assert.deepEqual(config.boxOf('shared'), { isolation: 'sandbox', network: { allow: ['a.example'] } })
  assert.deepEqual(config.boxOf('own'), {})
  assert.equal(config.boxOf('default'), undefined)
  let reports = 0
  config.onChanged(() => reports++)
  writeFileSync(file, 'groups: {shared: {network: models}}\n')
  await until(() => reports === 1)
  assert.deepEqual(config.boxOf('shared'), { network: 'models' })
  // An invalid file changes nothing: a mistake must not open a group.
  writeFileSync(file, 'groups: {shared: {isolaton: sandbox}}\n')
  config.reload()
  assert.deepEqual(config.boxOf('shared'), { network: 'models' })
  assert.equal(reports, 1)
})

test('an invalid setting in a group is a mistake, including an unknown key', () => {
  for (const [text, message] of [
    ['groups: {g: {isolaton: sandbox}}\n', /^errand.yaml:1:14: .*isolaton.*/],
    ['groups: {g: {isolation: docker}}\n', /^errand.yaml:1:25: .*"none", "sandbox" or "container"/],
    ['groups: {g: {network: {allow: ["https://x"]}}}\n', /^errand.yaml:1:32: .*a host is written as name/],
    ['groups: {g: {isolation: none, network: models}}\n', /^errand.yaml:1:31: .*needs a box/],
    ['groups: [g]\n', /^errand.yaml:1:9: groups/],
    ['groups: {g: }\n', /^errand.yaml:1:\d+: /],
  ] as const)
    assert.throws(
      () => parseConfig(text, 'errand.yaml'),
      (error: Error & { code?: string; hint?: string }) =>
        message.test(error.message) && error.code === 'invalid_argument' && error.hint !== undefined,
      text,
    )
})

test('a watched repository has an address and an owner, and no unknown keys', () => {
  const watch = (text: string) => parseConfig(`repos: [{name: web, ${text}}]`, 'errand.yaml').watched
  assert.deepEqual(watch('url: "https://git.test/shop/web", watch: {owner: ada}'), [
    { url: 'https://git.test/shop/web', label: 'errand', every_seconds: 60, owner: 'ada', task: {} },
  ])
  const refused = (text: string, message: RegExp) => assert.throws(() => watch(text), { message })
  refused('watch: {owner: ada}', /needs the address/)
  refused('url: "https://git.test/shop/web", watch: {}', /owner/)
  refused('url: "https://git.test/shop/web", watch: {owner: ada, lable: x}', /unknown key/)
  refused('url: "https://git.test/shop/web", watch: {owner: ada, task: {agnet: x}}', /unknown key/)
  refused('url: "git.test/shop/web", watch: {owner: ada}', /must be an address/)
})

test('a forge has one source of tokens, and any unknown setting of it is a mistake', () => {
  const parse = (forge: object) => parseConfig(JSON.stringify({ theme: 1, forges: [forge] }), 'errand.yaml')
  const app = { id: 12, private_key: 'APP_KEY' }
  const { forges, warnings } = parse({ host: 'Git.Example.org', kind: 'github', app })
  assert.deepEqual(forges.get('git.example.org')?.app, { id: '12', private_key: 'APP_KEY' })
  assert.equal(warnings.length, 1)
  const called = parse({ host: 'a.example', kind: 'gitea', token: 'T', webhook_secret: 'HOOK' })
  assert.equal(called.forges.get('a.example')?.webhook_secret, 'HOOK')
  for (const [more, message] of [
    [{ app, token: 'T' }, /has both a token and an App/],
    [{ app, kind: 'gitea' }, /only GitHub has Apps/],
    [{ apps: app }, /unknown key "apps"/],
    [{ app: { ...app, key: 'x' } }, /unknown key "key"/],
    [{ token: 'ghp-1' }, /variable name/],
    [{ webhook_secret: 'the secret itself' }, /variable name/],
    [{ host: 'https://x' }, /must be a host/],
  ] as const)
    assert.throws(
      () => parse({ host: 'a.example', kind: 'github', ...more }),
      { message },
      JSON.stringify(more),
    )
})

test('playbooks of the hub are checked like those of a repository, and errors in them are mistakes', () => {
  const text =
    'playbooks:\n  - name: backend\n    required_skill: rust\n    steps: [{name: unit, command: cargo test}]\n'
  const [one] = parseConfig(text, 'errand.yaml').playbooks
  assert.deepEqual([one?.name, one?.required_skill, one?.steps[0]?.fail_fast], ['backend', 'rust', true])
  assert.deepEqual(parseConfig('repos: []', 'errand.yaml').playbooks, [])
  for (const [wrong, complaint] of [
    ['playbooks: {a: 1}', /^errand\.yaml:1:12: playbooks must be a list/],
    [text.replace('command', 'comand'), /^errand\.yaml:4:.*command in step "unit" is missing/],
    [text.replace('test}', 'test, condition: "a ==" }'), /condition/],
  ] as const)
    assert.throws(() => parseConfig(wrong, 'errand.yaml'), { code: 'invalid_argument', message: complaint })
})

test('a group says how its runners are provisioned, and missing or useless settings there are reported', () => {
  const { pools, boxes } = parseConfig(
    'groups:\n  builders: {provisioner: process, spare: 1, isolation: sandbox}\n  plain: {}\n',
    'errand.yaml',
  )
  assert.deepEqual(JSON.parse(JSON.stringify(pools)), [
    {
      ...{
        group: 'builders',
        provisioner: 'process',
        max: 10,
        spare: 1,
        idle_seconds: 60,
        start_seconds: 300,
      },
      ...{ paused: false, labels: {} },
    },
  ])
  assert.deepEqual(boxes.get('builders'), { isolation: 'sandbox' })
  const cases: [string, RegExp][] = [
    ['groups: {g: {max: 3}}\n', /^errand.yaml:1:14: .*max.* needs a provisioner/],
    [
      'groups: {g: {provisioner: magic}}\n',
      /^errand.yaml:1:27: .*"process", "command", "docker" or "kubernetes"/,
    ],
    ['groups: {g: {provisioner: command}}\n', /^errand.yaml:1:14: .*needs the program to call/],
    ['groups: {g: {provisioner: process, command: [x]}}\n', /^errand.yaml:1:36: .*is not used by/],
    ['groups: {g: {provisioner: process, image: x}}\n', /^errand.yaml:1:36: .*is not used by/],
    ['groups: {g: {provisioner: docker}}\n', /^errand.yaml:1:14: .*needs an image/],
    ['groups: {g: {provisioner: docker, image: x, memory: 4}}\n', /^errand.yaml:1:53: .*memory/],
    ['groups: {g: {provisioner: docker, image: x, memory: 4 bits}}\n', /:53: .*must be a size such as/],
    ['groups: {g: {provisioner: docker, image: x, volumes: [srv]}}\n', /:55: .*must be a volume such as/],
    ['groups: {g: {provisioner: docker, image: x, command: [x]}}\n', /1:45: .*is not used by/],
    ['groups: {g: {provisioner: process, max: 1, spare: 2}}\n', /^errand.yaml:1:44: .*greater than max/],
    ['groups: {g: {provisioner: process, hub_url: "here"}}\n', /^errand.yaml:1:45: .*must be an address/],
  ]
  for (const [text, message] of cases)
    assert.throws(() => parseConfig(text, 'errand.yaml'), { code: 'invalid_argument', message }, text)
})
