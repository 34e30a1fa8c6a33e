import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { serviceAsker } from './test-services.ts'

const root = join(import.meta.dirname, '..')

function folderWith(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-asking-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

test('a file asks for a service by itself, or through what it imports of the support of tests', (t) => {
  const asks = serviceAsker(
    folderWith(t, {
      'test/support/engine.ts': "import './circle.ts'\nexport const at = process.env.DOCKER_HOST\n",
      'test/support/circle.ts': "import './engine.ts'\n",
      'test/support/fixture.ts': "export * from './engine.ts'\n",
      'src/engine.ts': 'export const at = process.env.DOCKER_HOST\n',
      'src/a.test.ts': "import { at } from '../test/support/fixture.ts'\n",
      'src/late.test.ts': "await import('../test/support/circle.ts')\n",
      'src/itself.test.ts': 'const hidden = process.env.ERRAND_TEST_WITHOUT\n',
      'src/type.test.ts': "import type { at } from '../test/support/fixture.ts'\n",
      'src/product.test.ts': "import { at } from './engine.ts'\n",
    }),
  )
  assert.equal(asks('src/a.test.ts'), true)
  assert.equal(asks('src/late.test.ts'), true)
  assert.equal(asks('src/itself.test.ts'), true)
  assert.equal(asks('src/type.test.ts'), false)
  assert.equal(asks('src/product.test.ts'), false)
})

test('each support of tests that hides a service is found to ask for it', () => {
  const asks = serviceAsker(root)
  const support = readdirSync(join(root, 'test/support'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => `test/support/${file}`)
  const hiding = support.filter((file) =>
    /ERRAND_TEST_WITHOUT\?/.test(readFileSync(join(root, file), 'utf8')),
  )
  assert.ok(hiding.length >= 4)
  assert.deepEqual(
    hiding.filter((file) => !asks(file)),
    [],
  )
})

test('what is known of a circle of files does not hang on which of them is asked first', (t) => {
  const folder = folderWith(t, {
    'test/a.ts': "import './b.ts'\nimport './c.ts'\n",
    'test/b.ts': "import './a.ts'\n",
    'test/c.ts': 'export const at = process.env.DOCKER_HOST\n',
  })
  for (const first of ['test/a.ts', 'test/b.ts']) {
    const asks = serviceAsker(folder)
    asks(first)
    assert.equal(asks('test/a.ts'), true)
    assert.equal(asks('test/b.ts'), true)
  }
})
