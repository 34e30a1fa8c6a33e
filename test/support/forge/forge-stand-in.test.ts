import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { deliveryId, isSigned } from '../../../src/forge/webhook-signatures.ts'
import { startForge } from './forge-stand-in.ts'

for (const flavour of ['github', 'gitea', 'gitlab'] as const)
  test(`the stand-in for ${flavour} signs its webhooks, and stores its state on disk`, async (t) => {
    const got: { headers: IncomingHttpHeaders; body: Buffer }[] = []
    const receiver = createServer(async (request, response) => {
      got.push({ headers: request.headers, body: await buffer(request) })
      response.end()
    })
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    const standIn = await startForge({ flavour })
    t.after(async () => {
      await standIn.stop()
      await standIn.stop()
      await new Promise((resolve) => receiver.close(resolve))
    })
    const repository = standIn.makeRepository('acme/app', { files: { 'a.txt': 'one' } })
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
    repository.hooks.push({ url, secret: 'quiet' })
    const issue = standIn.state.addIssue(repository, { title: 'Broken', by: 'ada' })
    standIn.state.label(repository, issue, 'errand', 'ada')
    await standIn.delivered()
    assert.equal(got.length, 2)
    for (const { headers, body } of got) {
      assert.equal(isSigned(flavour, headers, body, 'quiet'), true)
      assert.equal(isSigned(flavour, headers, body, 'loud'), false)
      assert.notEqual(deliveryId(headers), undefined)
    }
    const stored = JSON.parse(readFileSync(join(standIn.state.folder, 'state.json'), 'utf8'))
    assert.deepEqual(stored.repositories[0].tickets[0].labels, ['errand'])
  })
