import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type AgentUpdateOf, Permissions } from '../../contract/agent.ts'
import { realPath } from '../../platform/files.ts'
import { globPattern } from '../../platform/untrusted-input.ts'
import { askMode, coversReading, decide, SessionGrants } from './permission-policy.ts'

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'errand-test-')))
after(() => rmSync(folder, { recursive: true, force: true }))
const cwd = join(folder, 'work')
mkdirSync(join(cwd, 'src/deep'), { recursive: true })
mkdirSync(join(folder, 'outside/inner'), { recursive: true })
symlinkSync('../outside/inner', join(cwd, 'link'))
symlinkSync(join(folder, 'outside/new.txt'), join(cwd, 'src/dangling'))
symlinkSync('round', join(cwd, 'round'))
symlinkSync(cwd, join(folder, 'other-name'))

test('a path is resolved as the kernel would resolve it', () => {
  const cases: [string, string][] = [
    ['src/a.txt', 'work/src/a.txt'],
    ['src/../b', 'work/b'],
    ['link/c', 'outside/inner/c'],
    ['link/../d', 'outside/d'],
    ['src/dangling', 'outside/new.txt'],
    [join(folder, 'other-name/src/./x'), 'work/src/x'],
    ['../../../../../../../etc/passwd', '/etc/passwd'],
    ['not/there/../yet', 'work/not/yet'],
  ]
  for (const [path, real] of cases)
    assert.equal(realPath(path, cwd), real.startsWith('/') ? real : join(folder, real), path)
  assert.throws(() => realPath('round/x', cwd), /too many links/)
})

test('globs match whole paths, including names that begin with a dot', () => {
  const cases: [string, string, boolean][] = [
    ['src/**', 'src/a/b.ts', true],
    ['src/**', 'src', false],
    ['src/', 'src/.env', true],
    ['**', '.git/hooks/x', true],
    ['**/*.ts', 'a.ts', true],
    ['**/*.ts', 'x/.y/a.ts', true],
    ['*.ts', 'x/a.ts', false],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['{src,test}/*.ts', 'test/a.ts', true],
    ['[!a]b', 'cb', true],
    ['[!a]b', '/b', false],
    ['a.b', 'axb', false],
    ['(a|b)+', 'a', false],
    ['a\\*', 'a*', true],
    ['new\nline', 'new\nline', true],
  ]
  for (const [glob, path, matches] of cases)
    assert.equal(globPattern(glob).test(path), matches, `${glob} ${path}`)
})

const ask = (tool_kind: AgentUpdateOf<'permission'>['tool_kind'], ...paths: string[]) =>
  ({
    kind: 'permission',
    request_id: 'r',
    title: 't',
    tool_kind,
    ...(paths.length > 0 ? { paths } : {}),
  }) as const

const outcome = (permissions: unknown, question: AgentUpdateOf<'permission'>) =>
  decide(Permissions.parse(permissions), question, cwd).decision

test('an allow rule applies only if every path is named and matches, after links are resolved', () => {
  const rules = { mode: 'rules', rules: [{ decision: 'allow', paths: ['src/**'] }], otherwise: 'deny' }
  assert.equal(outcome(rules, ask('edit', 'src/a')), 'allow')
  assert.equal(outcome(rules, ask('edit', join(cwd, 'src/a'))), 'allow')
  assert.equal(outcome(rules, ask('edit', join(folder, 'other-name/src/a'))), 'allow')
  for (const paths of [['src/a', 'b'], ['src/../../x'], ['src/dangling'], ['link/x'], ['round/x'], []])
    assert.equal(outcome(rules, ask('edit', ...paths)), 'deny', paths.join())
})

test('a deny or ask rule applies if any path matches, even one that leads nowhere', () => {
  const rules = {
    mode: 'rules',
    rules: [{ decision: 'deny', paths: ['secret/**', '/**/outside/**'] }],
    otherwise: 'allow',
  }
  for (const paths of [['a', 'secret/x'], ['src/../secret/x'], ['link/x'], ['src/dangling'], ['round/x']])
    assert.equal(outcome(rules, ask('edit', ...paths)), 'deny', paths.join())
  assert.equal(outcome(rules, ask('edit', 'a')), 'allow')
  assert.equal(outcome(rules, ask('execute')), 'allow')
})

test('rules about paths apply to a file tool that names no file', () => {
  const rules = {
    mode: 'rules',
    rules: [{ decision: 'deny', paths: ['**/.env'] }],
    otherwise: 'allow',
  }
  for (const kind of ['read', 'edit', 'delete', 'move'] as const)
    assert.equal(outcome(rules, ask(kind)), 'deny', kind)
  for (const kind of ['execute', 'fetch', 'search', 'other'] as const)
    assert.equal(outcome(rules, ask(kind)), 'allow', kind)
  const folder = { mode: 'rules', rules: [{ decision: 'allow', paths: ['.'] }], otherwise: 'deny' }
  assert.equal(outcome(folder, ask('search')), 'allow')
})

test('tool kinds count, the first matching rule decides, and the modes work as named', () => {
  const rules = {
    mode: 'rules',
    rules: [
      { decision: 'allow', tools: ['read', 'search'] },
      { decision: 'ask', tools: ['execute'] },
    ],
    otherwise: 'deny',
  }
  assert.equal(outcome(rules, ask('read', '/etc/passwd')), 'allow')
  assert.equal(outcome(rules, ask('execute')), 'ask')
  assert.equal(outcome(rules, ask(undefined)), 'deny')
  for (const mode of ['ask', 'allow', 'deny'] as const) assert.equal(outcome({ mode }, ask('edit')), mode)
  assert.equal(askMode(Permissions.parse(rules)), 'ask')
  assert.equal(askMode(Permissions.parse({ mode: 'rules', otherwise: 'allow' })), 'allow')
  assert.equal(coversReading(Permissions.parse(rules)), false)
  assert.equal(
    coversReading(Permissions.parse({ mode: 'rules', rules: [{ decision: 'deny', tools: ['fetch'] }] })),
    false,
  )
  assert.equal(
    coversReading(Permissions.parse({ mode: 'rules', rules: [{ decision: 'deny', paths: ['**/.env'] }] })),
    true,
  )
})

const question = (change: Partial<AgentUpdateOf<'permission'>>): AgentUpdateOf<'permission'> => ({
  ...{ kind: 'permission', request_id: 'q', title: 'Run it', tool_kind: 'execute' },
  ...change,
})
const run = (args: object, more: Partial<AgentUpdateOf<'permission'>> = {}) =>
  question({ input: JSON.stringify(args), ...more })

test('the same command in the same folder is allowed again, and nothing else', () => {
  const grants = new SessionGrants()
  grants.add(run({ command: 'npm test', description: 'tests' }, { paths: ['/w'] }), 'ann')
  assert.equal(grants.allows(run({ description: 'again', command: 'npm test' }, { paths: ['/w'] })), 'ann')
  for (const other of [
    run({ command: 'npm test; rm -rf ~' }, { paths: ['/w'] }),
    run({ command: 'npm test' }, { paths: ['/'] }),
    run({ command: 'npm test', unsafe: true }, { paths: ['/w'] }),
    run({ command: 'npm test' }, { paths: ['/w'], tool_kind: 'fetch' }),
    question({ title: 'Run it', paths: ['/w'] }),
  ])
    assert.equal(grants.allows(other), undefined, JSON.stringify(other))
})

test('a change of files is allowed again for these files only', () => {
  const grants = new SessionGrants()
  const edit = (...paths: string[]) => question({ tool_kind: 'edit', paths })
  grants.add(edit('/w/a', '/w/b'), undefined)
  assert.equal(grants.allows(edit('/w/b')), 'a person')
  assert.equal(grants.allows(edit('/w/b', '/w/c')), undefined)
  assert.equal(grants.allows({ ...edit('/w/a'), tool_kind: 'delete' }), undefined)
  assert.equal(grants.allows(edit()), undefined)
})

test('a truncated request is asked about each time', () => {
  const grants = new SessionGrants()
  const cut = question({ input: '{"command":"echo long\n… (20000 bytes in all)' })
  grants.add(cut, 'ann')
  assert.equal(grants.allows(cut), undefined)
})
