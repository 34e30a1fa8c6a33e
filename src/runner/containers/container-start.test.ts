import assert from 'node:assert/strict'
import { test } from 'node:test'
import { engineVariables, startScript } from './container-start.ts'

const launch = {
  argv: ['sh', '-c', "echo it's"],
  cwd: "/place/it's",
  env: { PLAIN: 'a', QUOTED: "it's $HOME\n`x`", 'odd.name': 'b', UID: '7', _: 'c' },
}

test('the script quotes its input, and leaves variables that shells reserve to the engine', () => {
  const script = startScript(launch)
  assert.match(script, /^cd '\/place\/it'\\''s' /m)
  assert.match(script, /^set -- 'sh' '-c' 'echo it'\\''s' "\$@"$/m)
  assert.ok(script.includes("export QUOTED='it'\\''s $HOME\n`x`'\n"))
  assert.doesNotMatch(script, /export (UID|_|odd\.name)=/)
  assert.deepEqual(engineVariables(launch.env).sort(), ['UID=7', '_=c', 'odd.name=b'])
})
