import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { Front } from '../support/outside/front.ts'
import { takingService } from '../support/outside/taking-service.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import { writeWorkflow } from '../support/programs.ts'

test('an `errand run` names a server that fails in every way for http.request, and ends in order', async (t) => {
  const service = await takingService(t, { fine: true })
  const front = await Front.open(t, { behind: service.port })
  const errand = errandCommand(t)
  const url = `http://${front.host}/orders`
  const file = writeWorkflow(
    join(errand.home, 'orders.yaml'),
    [
      {
        name: 'order',
        action: 'http.request',
        args: { url, method: 'POST', body: 'an order' },
        timeout_seconds: 2,
      },
      { name: 'other', cmd: 'echo other', needs: [] },
    ],
    { finally: [{ name: 'tidy', action: 'cmd.run', args: { cmd: 'echo tidied' } }] },
  )
  let last: Awaited<ReturnType<typeof errand.run>>
  const order = async () => {
    last = await errand.run(['run', file])
    return last
  }
  await throughManners(t, 'server of http.request in a local run', {
    front,
    except: {
      page: 'an answer is the output of the step, whatever it is; its author says which status is wrong',
    },
    async spoiled() {
      const { code, stdout, stderr } = await order()
      assert.equal(code, 1, stdout + stderr)
      const line = `${stdout}${stderr}`.split('\n').find((line) => line.includes('order failed on local'))
      assert.ok(line?.includes(`POST ${url}`), stdout + stderr)
    },
    async works() {
      assert.match(last.stdout, /other/)
      assert.match(last.stdout, /tidied/)
      assert.doesNotMatch(last.stderr, /bug in Errand| {4}at /)
    },
    async mended() {
      const { code, stdout, stderr } = await order()
      assert.equal(code, 0, stdout + stderr)
      assert.match(stdout, /\{"fine":true\}/)
    },
  })
})
