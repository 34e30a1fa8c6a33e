import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { TestFigures } from '../../contract/tasks/task-facts.ts'
import { contradiction, joinFigures } from './figures.ts'
import { readResults } from './read-results.ts'

const read = (text: string | Uint8Array) => readResults([Buffer.from(text)], 'out')
async function figuresOf(text: string | Uint8Array) {
  const results = await read(text)
  assert.ok('figures' in results, JSON.stringify(results))
  return TestFigures.parse(results.figures)
}
/** Returns `passed failed skipped flaky: names`. */
async function resultsOf(text: string | Uint8Array) {
  const { passed, failed, skipped, flaky, failed_names } = await figuresOf(text)
  return `${passed} ${failed} ${skipped} ${flaky}: ${failed_names.join(' | ')}`
}
async function faultOf(text: string | Uint8Array): Promise<string> {
  const results = await read(text)
  return 'fault' in results ? results.fault : `no fault: ${JSON.stringify(results)}`
}

test("the output of Node's reporters is read: TAP by its outermost tests, JUnit by its cases", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-results-'))
  try {
    writeFileSync(
      join(folder, 'a.test.mjs'),
      `import { describe, test } from 'node:test'
      test('adds', () => {})
      test('a # and <b> & "c"', () => { throw new Error('\\u001b[31mnot ok 9 - red') })
      test('later', { todo: true }, () => { throw new Error('x') })
      test('not here', { skip: 'no network' }, () => {})
      describe('group', () => {
        test('inner', () => {})
        test('bad', () => { throw new Error('  ...') })
      })`,
    )
    const output = (reporter: string) =>
      spawnSync(process.execPath, ['--test', `--test-reporter=${reporter}`, 'a.test.mjs'], {
        cwd: folder,
        // Omits the variables that mark this process as one of a test runner.
        env: { PATH: process.env.PATH },
      }).stdout
    assert.equal(await resultsOf(output('tap')), '1 2 2 0: a # and <b> & "c" | group')
    const junit = output('junit')
    // Node writes quotes of names as entities of entities.
    assert.match(await resultsOf(junit), /^2 2 2 0: a # and <b> & .*c.* \| group › bad$/)
    assert.equal((await figuresOf(junit)).suite, 'out')
    assert.ok(((await figuresOf(output('tap'))).duration_ms ?? 0) > 0)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** The output of pytest 8. */
const pytest = `<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="7" time="0.079"><testcase classname="test_x" name="test_ok" time="0.000" /><testcase classname="test_x" name="test_bad" time="0.003"><failure message="assert 1 == 2">&gt;   def test_bad(): assert 1 == 2
E   assert 1 == 2</failure></testcase><testcase classname="test_x" name="test_skip" time="0.000"><skipped type="pytest.skip" message="no">test_x.py:4: no</skipped></testcase><testcase classname="test_x" name="test_xf" time="0.000"><skipped type="pytest.xfail" message="" /></testcase><testcase classname="test_x" name="test_err" time="0.000"><error message="failed on setup with &quot;RuntimeError: fixture&quot;">test_x.py:9: RuntimeError</error></testcase><testcase classname="test_x.TestC" name="test_p[1]" time="0.000" /><testcase classname="test_x.TestC" name="test_p[2]" time="1,000.5" /></testsuite></testsuites>`

test('JUnit XML is read as the tools write it', async () => {
  assert.deepEqual(await figuresOf(pytest), {
    suite: 'pytest tests',
    passed: 3,
    failed: 2,
    skipped: 2,
    flaky: 0,
    failed_names: ['test_x › test_bad', 'test_x › test_err'],
    duration_ms: 1_000_503,
  })
  const jest = `<testsuites name="jest tests" tests="99"><testsuite name="math"><testcase classname="math adds" name="math adds" time="0.002"/><testcase classname="math divides" name="math divides"><failure>Error: x
    at y &lt;anonymous&gt;</failure></testcase></testsuite></testsuites>`
  assert.equal(await resultsOf(jest), '1 1 0 0: math divides')
  const vitest = `<?xml version="1.0" encoding="UTF-8" ?>
<testsuites name="vitest tests" tests="2" failures="1" errors="0" time="0.5">
    <testsuite name="src/a.test.ts" tests="2"><testcase classname="src/a.test.ts" name="a &gt; b" time="0.001"><system-out>not ok 3</system-out></testcase>
        <testcase classname="src/a.test.ts" name="a &gt; c" time="0.002"><failure message="x" type="AssertionError"><![CDATA[<failure/> </testcase>]]></failure></testcase></testsuite></testsuites>`
  assert.equal(await resultsOf(vitest), '1 1 0 0: src/a.test.ts › a > c')
  const mocha =
    '<testsuites name="Mocha Tests"><testsuite name="Root Suite"/><testsuite name="deep"><testcase name="deep x" classname="x"/><testcase name="deep y" classname="y"><skipped/></testcase></testsuite></testsuites>'
  assert.equal(await resultsOf(mocha), '1 0 1 0: ')
  const go = `<testsuites tests="2" failures="1">
	<testsuite name="example.com/x" tests="2"><properties><property name="go.version" value="go1.26"></property></properties>
		<testcase name="TestA" classname="example.com/x" time="0.000"></testcase>
		<testcase name="TestA/sub" classname="example.com/x" time="0.010"><failure message="Failed"><![CDATA[x]]></failure></testcase></testsuite></testsuites>`
  assert.equal(await resultsOf(go), '1 1 0 0: example.com/x › TestA/sub')
  assert.equal((await figuresOf(go)).suite, 'example.com/x')
})

test('cases in nested suites are counted, and the counts in attributes are ignored', async () => {
  const nested =
    '<testsuite name="a" tests="0" failures="77"><testcase name="1"/><testsuite name="b"><testsuite name="c"><testcase name="2"><error/></testcase></testsuite></testsuite></testsuite>'
  assert.equal(await resultsOf(nested), '1 1 0 0: c › 2')
  assert.equal(await resultsOf('<testsuite tests="5" failures="3"/>'), '0 0 0 0: ')
})

test('a test that passes on a retry is flaky, and one that never passes has failed', async () => {
  const surefire = `<testsuite name="s">
    <testcase classname="A" name="f"><flakyFailure message="x"/><flakyError/></testcase>
    <testcase classname="A" name="r"><failure/><rerunFailure/><rerunError/></testcase>
    <testcase classname="A" name="p"><rerun message="pytest"/></testcase></testsuite>`
  assert.equal(await resultsOf(surefire), '2 1 0 2: A › r')
})

test('XML with a document type, an entity, no end, two roots or too much content gives one error sentence', async () => {
  const cases: [string, RegExp][] = [
    ['<!DOCTYPE testsuite [<!ENTITY a "b">]><testsuite/>', /declares a document type/],
    ['<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>', /declares a document type/],
    [`<!DOCTYPE x [${'<!ENTITY a "b">'.repeat(20_000)}]>`, /declares a document type/],
    ['<testsuite><testcase name="&x;"/></testsuite>', /not valid XML: Invalid character entity.* \(line 1\)/],
    ['<testsuite>\n<testcase name="a"/>\n<testcase na', /cut off in line 3, after 1 tests/],
    ['<testsuite><testcase>', /cut off in line 1/],
    ['<testsuite></testcase>', /not valid XML: Un/],
    ['<testsuite/><testsuite/>', /more than one root/],
    ['<testsuite/>rest', /not valid XML: Text data outside of root/],
    ['<html><body/></html>', /^out: It is not JUnit XML: its root is <html>, not/],
    ['<?xml version="1.0"?>', /no element|cut off/],
    [`<testsuite>${'<a>'.repeat(200_000)}`, /more than 100 deep/],
    [
      `<testsuite ${Array.from({ length: 300 }, (_, at) => `a${at}=""`).join(' ')}/>`,
      /more than 200 attributes/,
    ],
    [`<testsuite>${'<testcase/>'.repeat(100_001)}</testsuite>`, /more than 100000 tests/],
    ['', /^out: It is empty\.$/],
    [' \n\n', /It is empty/],
  ]
  for (const [text, fault] of cases) assert.match(await faultOf(text), fault, text.slice(0, 60))
  const large = Array<Uint8Array>(21).fill(Buffer.alloc(1024 * 1024, ' '))
  assert.deepEqual(await readResults(large, 'out'), { fault: 'out: It is larger than 20 MiB.' })
})

test('long messages, control characters and other encodings are read', async () => {
  const long = `<testsuite><testcase name="a"><failure message="${'x'.repeat(300_000)}"/></testcase><!-- ${'y'.repeat(200_000)} --></testsuite>`
  assert.equal(await resultsOf(long), '0 1 0 0: a')
  const pieces = Array.from({ length: Math.ceil(long.length / 1000) }, (_, at) =>
    Buffer.from(long.slice(at * 1000, at * 1000 + 1000)),
  )
  assert.ok('figures' in (await readResults(pieces, 'out')))
  const red =
    '<testsuite><testcase name="\u001b[31mred&#10;two"><failure>\u001b[0m</failure></testcase></testsuite>'
  assert.equal(await resultsOf(red), '0 1 0 0: [31mred two')
  const failing = (name: string) => `<testsuite><testcase name="${name}"><failure/></testcase></testsuite>`
  assert.equal(
    await resultsOf(Buffer.from(`<?xml version="1.0" encoding="ISO-8859-1"?>${failing('é')}`, 'latin1')),
    '0 1 0 0: é',
  )
  assert.equal(await resultsOf(Buffer.from(`\ufeff${failing('é')}`, 'utf16le')), '0 1 0 0: é')
  assert.equal(await resultsOf(`\ufeff<?xml version="1.0" encoding="x-none"?>${failing('é')}`), '0 1 0 0: é')
})

test('results of nearly 20 MiB in one attribute are read with little memory', () => {
  const reader = new URL('./read-results.ts', import.meta.url)
  const program = `
    import { readResults } from ${JSON.stringify(reader.href)}
    function* chunks() {
      yield Buffer.from('<testsuite><testcase name="begins ')
      for (let at = 0; at < 300; at++) yield Buffer.alloc(65536, 'x')
      yield Buffer.from('"><failure/></testcase></testsuite>')
    }
    const { figures } = await readResults(chunks(), 'out')
    console.log(figures.failed_names[0].slice(0, 8))`
  const args = ['--max-old-space-size=64', '--input-type=module', '--eval', program]
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.equal(stdout, 'begins x\n', stderr.slice(0, 500))
})

test('at most 50 names are reported, each with up to 200 characters', async () => {
  const cases = Array.from({ length: 60 }, (_, at) => `not ok ${at + 1} - ${'x'.repeat(300)}`)
  const { failed, failed_names } = await figuresOf(`1..60\n${cases.join('\n')}`)
  assert.deepEqual([failed, failed_names.length, failed_names[0]?.length], [60, 50, 200])
})

test('TAP is read with its directives, escapes and numbers', async () => {
  const tap = `TAP version 14
1..9
ok 1 - plain
ok
not ok 3 no dash
ok 4 - skipped # SKIP no network
not ok 5 - later # TODO not yet
ok 6 - done already # todo
not ok 7 - a \\# SKIP that is none \\\\
not ok
ok 9 - many # words # skip
pragma +strict
# a comment
something else
`
  assert.equal(await resultsOf(tap), '3 3 3 0: no dash | a # SKIP that is none \\ | test 8')
  assert.equal(await resultsOf(tap.replaceAll('\n', '\r\n')), await resultsOf(tap))
  assert.equal(await resultsOf('ok 1 a\nok 2 b\n1..2'), '2 0 0 0: ')
  assert.equal(await resultsOf('1..0 # SKIP nothing here'), '0 0 0 0: ')
})

test('subtests count as part of their test, and a YAML block is not a test', async () => {
  const tap = `TAP version 13
# Subtest: outer
    not ok 1 - inner
      ---
      message: |
        ok 2 - not a test
      ...
    not ok 2 - inner todo # TODO
    1..2
not ok 1 - outer
  ---
  duration_ms: 1.5
  diff: |
ok 7 - still not a test
    ...
  ...
ok 2 - buffered {
    ok 1 - x
    1..1
}
1..2
`
  const results = await read(tap)
  assert.ok('figures' in results)
  assert.equal(await resultsOf(tap), '1 1 0 0: outer')
  assert.equal(results.figures.duration_ms, 2)
})

test('a broken or missing plan and a bail out are failures; text without any sign of TAP is not TAP', async () => {
  const cases: Record<string, string> = {
    '1..3\nok 1\nok 2\n': '2 1 0 0: plan 1..3, but 2 tests are reported',
    '1..1\nok 1\nok 2\n': '2 1 0 0: plan 1..1, but 2 tests are reported',
    'TAP version 13\nok 1\n': '1 1 0 0: no plan, but 1 test is reported',
    '1..2\nok 1\n1..3\nok 2': '2 1 0 0: plan 1..2, and later 1..3',
    '1..9\nok 1\nBail out! no database\nok 2': '2 1 0 0: Bail out!: no database',
    'TAP version 14\n    Bail out!': '0 1 0 0: Bail out!',
  }
  for (const [text, expected] of Object.entries(cases)) assert.equal(await resultsOf(text), expected, text)
  const results = await read('1..2\nok 1\n')
  assert.deepEqual('notes' in results && results.notes, ['The plan is 1..2, but 1 test is reported.'])
  assert.match(
    await faultOf('ok  \texample.com/x\t0.005s\n'),
    /^out: It contains neither TAP nor JUnit XML\.$/,
  )
  assert.match(await faultOf('npm error\n'), /neither TAP nor/)
  assert.match(await faultOf('TAP version 15\n1..0'), /TAP version 15/)
  assert.match(await faultOf('1..1\nok 1\n  ---\n  a: b\n'), /cut off in a YAML block that begins in line 3/)
  assert.match(await faultOf(`1..2\n${'ok\n'.repeat(100_001)}`), /more than 100000 tests/)
})

test('only the beginning of an endless line is read, and blanks and escapes take no time', async () => {
  const blanks = ' '.repeat(60_000)
  const hashes = '\\# '.repeat(20_000)
  const text = `1..3\nok 1 - ${'x'.repeat(5_000_000)}\nnot ok 2 -${blanks}{${blanks}x\nnot ok 3 ${hashes}`
  assert.match(await resultsOf(text), /^1 2 0 0: /)
})

test('results are the same, or an error, no matter how they are split and where they end', async () => {
  const tap = 'TAP version 13\nok 1 - é # SKIP\n  ---\n  a: 1\n  ...\nnot ok 2 - b\n1..2\n'
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(pytest, tap),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (text, sizes, share) => {
        const bytes = Buffer.from(text)
        const pieces: Buffer[] = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length]!
          pieces.push(bytes.subarray(at, at + size))
          at += size
        }
        assert.deepEqual(await readResults(pieces, 'out'), await read(bytes))
        const cut = await read(bytes.subarray(0, Math.floor((bytes.length - 2) * share)))
        // A file that was cut off never counts as a success.
        assert.ok('fault' in cut || cut.figures.failed > 0, JSON.stringify(cut))
      },
    ),
    { numRuns: 100 },
  )
})

test('any bytes give figures or an error', async () => {
  const piece = fc.constantFrom(
    '<testsuite>',
    '</testsuite>',
    '<testcase name="a">',
    '</testcase>',
    '<failure/>',
    '<![CDATA[',
    ']]>',
    '<!--',
    '-->',
    '&amp;',
    '&#x1F600;',
    '&',
    '<',
    '"',
    '<?xml',
    'ok 1',
    'not ok',
    '\n',
    '1..2',
    '  ---',
    '  ...',
    '    ',
    '# SKIP',
    'Bail out!',
    'TAP version 13\n',
    '\0',
    '\ud800',
  )
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(piece, { maxLength: 40 }).map((all) => Buffer.from(all.join(''))),
    fc.array(piece, { maxLength: 40 }).map((all) => Buffer.from(`<testsuites>${all.join('')}</testsuites>`)),
  )
  await fc.assert(
    fc.asyncProperty(any, async (bytes) => {
      const results = await readResults([bytes], 'out')
      if ('figures' in results) TestFigures.parse(results.figures)
      else assert.match(results.fault, /^out: .+\.$/s)
    }),
    { numRuns: 500 },
  )
})

test('figures of several files become one suite, and a contradicting exit code counts', async () => {
  const one = await figuresOf(pytest)
  const both = joinFigures('all', [one, await figuresOf('1..1\nnot ok 1 - x')])
  assert.deepEqual(both, {
    ...one,
    suite: 'all',
    failed: 3,
    failed_names: [...one.failed_names, 'x'],
  })
  assert.equal(contradiction(1, one), undefined)
  assert.match(
    contradiction(0, one) ?? '',
    /2 failed tests, but the command exited with 0: it counts as passed/,
  )
  const good = { ...one, failed: 0 }
  assert.equal(contradiction(0, good), undefined)
  assert.match(
    contradiction(137, good) ?? '',
    /no failed test, but the command exited with 137: it counts as failed/,
  )
  assert.match(contradiction(0, { ...good, passed: 0, skipped: 0 }) ?? '', /no tests at all/)
})
