import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ToolFixture } from '../../../test/support/agents/tool-fixture.ts'

test('no path of any form leads out of the working folder', async (context) => {
  const tools = new ToolFixture(context)
  const { folder, cwd } = tools
  writeFileSync(join(folder, 'secret'), 'the secret')
  mkdirSync(join(folder, `${cwd.split('/').at(-1)}-sibling`))
  symlinkSync(join(folder, 'secret'), join(cwd, 'link'))
  symlinkSync('link', join(cwd, 'link-to-link'))
  symlinkSync(folder, join(cwd, 'up'))
  symlinkSync(join(folder, 'not-there'), join(cwd, 'dangling'))
  symlinkSync('../not-there-either', join(cwd, 'dangling-relative'))
  symlinkSync('round', join(cwd, 'round'))
  const paths = [
    '../secret',
    join(folder, 'secret'),
    `${cwd}-sibling/x`,
    'link',
    'link-to-link',
    'up/secret',
    'up/new/file',
    'a/b/../../../secret',
    'dangling',
    'dangling-relative',
    '/etc/passwd',
    '/proc/self/environ',
    '/proc/self/root/etc/passwd',
  ]
  for (const path of paths) {
    assert.match(await tools.use('read_file', { path }), /is outside the working folder/, path)
    assert.match(await tools.use('write_file', { path, content: 'x' }), /is outside/, path)
    assert.equal(tools.last?.status, 'denied')
  }
  for (const path of ['..', 'up', '/'])
    for (const [name, args] of [
      ['search', { path, pattern: '.' }],
      ['list_files', { path }],
      ['run_command', { cwd: path, command: 'true' }],
    ] as const)
      assert.match(await tools.use(name, args), /is outside/, `${name} ${path}`)
  assert.match(await tools.use('read_file', { path: 'round' }), /^Error: /)
  assert.match(await tools.use('read_file', { path: 'a\0b' }), /NUL/)
  assert.equal(readFileSync(join(folder, 'secret'), 'utf8'), 'the secret')
  assert.ok(!existsSync(join(folder, 'not-there')) && !existsSync(join(folder, 'not-there-either')))
  assert.ok(!existsSync(join(folder, 'new')))
  assert.deepEqual(tools.asked, [])
})

test('paths outside the folder can be used if permitted, and the question shows the real path', async (context) => {
  const tools = new ToolFixture(context, { ask: 'ask' })
  symlinkSync(tools.folder, join(tools.cwd, 'up'))
  assert.match(await tools.use('write_file', { path: 'up/made', content: 'x' }), /^Created/)
  assert.deepEqual(tools.asked[0]?.paths, [join(tools.folder, 'made')])
  assert.equal(await tools.use('read_file', { path: 'up/made' }), 'x')
  assert.equal(tools.asked[1]?.tool_kind, 'read')
  writeFileSync(join(tools.cwd, 'own'), 'own')
  assert.equal(await tools.use('read_file', { path: 'own' }), 'own')
  assert.equal(tools.asked.length, 2)
})

test('a path whose target changes after it was permitted is not followed', async (context) => {
  const tools = new ToolFixture(context, {
    ask: 'ask',
    decide: () => {
      unlinkSync(join(tools.cwd, 'link'))
      symlinkSync(join(tools.folder, 'secret'), join(tools.cwd, 'link'))
      return 'allow'
    },
  })
  writeFileSync(join(tools.folder, 'secret'), 'the secret')
  writeFileSync(join(tools.cwd, 'link'), 'harmless')
  assert.match(await tools.use('write_file', { path: 'link', content: 'x' }), /has changed/)
  assert.equal(readFileSync(join(tools.folder, 'secret'), 'utf8'), 'the secret')
})

test('when reading needs permission, a search shows nothing from files that may not be read', async (context) => {
  const secret = (path: string) => path.endsWith('/secret.txt')
  const tools = new ToolFixture(context, {
    ask: 'ask',
    asksReading: true,
    decide: ({ tool_kind, paths }) => (tool_kind === 'read' && paths.some(secret) ? 'deny' : 'allow'),
  })
  writeFileSync(join(tools.cwd, 'secret.txt'), 'word of the secret')
  writeFileSync(join(tools.cwd, 'open.txt'), 'word of the open')
  const withheld = await tools.use('search', { pattern: 'word' })
  assert.match(withheld, /^Denied/)
  assert.doesNotMatch(withheld + JSON.stringify(tools.updates), /of the secret/)
  assert.match(await tools.use('search', { pattern: 'word', glob: 'open*' }), /open\.txt:1: word of the open/)
  assert.match(await tools.use('read_file', { path: 'secret.txt' }), /^Denied/)
})

test("the size of a tool call's updates is limited, and its title is one line", async (context) => {
  const tools = new ToolFixture(context)
  const content = 'x'.repeat(300_000)
  await tools.use('write_file', { path: 'large', content })
  await tools.use('run_command', { command: `echo one\necho ${'y'.repeat(100)}` })
  for (const update of tools.updates) assert.ok(JSON.stringify(update).length < 150_000)
  assert.equal(tools.updates.findLast(({ title }) => title !== undefined)?.title, 'Run echo one…')
})
