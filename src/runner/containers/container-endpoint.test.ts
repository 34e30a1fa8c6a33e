import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseImage } from '../../../test/support/docker/docker.ts'
import { command, endOf, textOf } from '../../../test/support/runner/attempt-fixture.ts'
import {
  containerPlace,
  IMAGE,
  containersMissing as skip,
} from '../../../test/support/runner/container-fixture.ts'
import { PUBLIC, proxyFixture, webServer } from '../../../test/support/runner/proxy-fixture.ts'

test('through its endpoint a container reaches allowed hosts, and learns which ones are refused', {
  skip,
}, async (t) => {
  const image = await baseImage('node:24-slim')
  const { supervisor, world } = proxyFixture(t)
  const port = await webServer(t, (_request, response) => void response.end('from the server\n'))
  world({ names: { 'allowed.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: port } })
  const here = containerPlace(t, { image, supervisor })
  const attempts = here.open()
  const script = `
    for (const host of ['allowed.test', 'other.test']) {
      const answer = await fetch('http://' + host + '/').catch((error) => error)
      console.log(host, answer.status, (await answer.text?.())?.trim())
    }
    const { connect } = await import('node:net')
    connect(80, '${PUBLIC}').on('error', (error) => console.log(error.code))`
  const cmd = `node --input-type=module -e "${script.replaceAll('"', '\\"')}"; ls /run`
  const attempt = await attempts.start(command(cmd, { network: { allow: ['allowed.test'] } }), 1)
  const end = await endOf(attempt)
  const output = await textOf(attempt)
  assert.equal(end.outcome, 'success', output + (await textOf(attempt, 'stderr')))
  assert.match(output, /^allowed\.test 200 from the server$/m)
  assert.match(output, /^other\.test undefined/m)
  assert.match(output, /^ENETUNREACH$/m)
  const refused = attempt.reports.flatMap((each) =>
    each.type === 'network' && each.kind === 'refused' ? [each.host] : [],
  )
  assert.deepEqual(refused, ['other.test'])
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

test("a container from an image without tools reaches its network with this machine's socat", {
  skip,
}, async (t) => {
  const { supervisor, world } = proxyFixture(t)
  const port = await webServer(t, (_request, response) => void response.end('from the server\n'))
  world({ names: { 'allowed.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: port } })
  const here = containerPlace(t, { image: IMAGE, supervisor })
  const attempts = here.open()
  const cmd = 'wget -q -O - http://allowed.test/; ls -ld /run/errand-socat/socat; : >/run/errand-socat/socat'
  const attempt = await attempts.start(command(cmd, { network: 'all' }), 1)
  await endOf(attempt)
  const stderr = await textOf(attempt, 'stderr')
  assert.match(await textOf(attempt), /^from the server\n-rwxr-xr-x /, stderr)
  assert.match(stderr, /Read-only file system/)
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})
