import assert from 'node:assert/strict'
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { services, servicesOf } from './test-services.ts'

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

// Put together, so that this file asks for neither.
const HERE = 'dockerHere'
const BROWSERS = 'browsers'

test('a file asks for a service by itself, or through the test support that it imports', (t) => {
  const servicesFor = servicesOf(
    folderWith(t, {
      'test/support/docker.ts': `import './circle.ts'\nexport async function ${HERE}() {}\n`,
      'test/support/circle.ts': "import './docker.ts'\n",
      'test/support/fixture.ts': `import { ${HERE} } from './docker.ts'\nexport const skip = await ${HERE}()\n`,
      'test/support/browser.ts': `const hidden = process.env.ERRAND_TEST_WITHOUT?.includes('${BROWSERS}')\n`,
      'src/engine.ts': `export const at = await ${HERE}()\n`,
      'src/a.test.ts': "import { skip } from '../test/support/fixture.ts'\n",
      'src/both.test.ts': "import '../test/support/fixture.ts'\nimport '../test/support/browser.ts'\n",
      'src/late.test.ts': "await import('../test/support/fixture.ts')\n",
      'src/itself.test.ts': `import { ${HERE} } from '../test/support/docker.ts'\nconst skip = await ${HERE}()\n`,
      'src/unused.test.ts': `import { ${HERE} } from '../test/support/circle.ts'\n`,
      'src/type.test.ts': "import type { at } from '../test/support/fixture.ts'\n",
      'src/product.test.ts': "import { at } from './engine.ts'\n",
    }),
  )
  assert.deepEqual(servicesFor('src/a.test.ts'), ['docker'])
  assert.deepEqual(servicesFor('src/both.test.ts'), ['docker', 'browsers'])
  assert.deepEqual(servicesFor('src/late.test.ts'), ['docker'])
  assert.deepEqual(servicesFor('src/itself.test.ts'), ['docker'])
  for (const file of ['src/unused.test.ts', 'src/type.test.ts', 'src/product.test.ts'])
    assert.deepEqual(servicesFor(file), [], file)
})

test('each service has tests that ask for it', () => {
  const servicesFor = servicesOf(root)
  const tests = globSync('{src,test}/**/*.test.ts', { cwd: root })
  const used = new Set(tests.flatMap(servicesFor))
  assert.deepEqual(
    services.filter((service) => !used.has(service)),
    [],
  )
})

test('the services of files in an import cycle do not depend on which file is asked first', (t) => {
  const folder = folderWith(t, {
    'test/a.ts': "import './b.ts'\nimport './c.ts'\n",
    'test/b.ts': "import './a.ts'\n",
    'test/c.ts': 'export const at = process.env.DOCKER_' + 'HOST\n',
  })
  for (const first of ['test/a.ts', 'test/b.ts']) {
    const servicesFor = servicesOf(folder)
    servicesFor(first)
    assert.deepEqual(servicesFor('test/a.ts'), ['docker'])
    assert.deepEqual(servicesFor('test/b.ts'), ['docker'])
  }
})
