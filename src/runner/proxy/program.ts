import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setting } from '../../config/read-setting.ts'
import { ErrandError, messageWithHint } from '../../contract/errors.ts'
import { readSince } from './endpoint-log.ts'
import { ModelProxy } from './model-proxy.ts'
import { pricesFrom } from './prices.ts'
import { runProxy } from './server.ts'

/**
 * Entry point of a runner's proxy: a separate program, so that it outlives whoever started it. Its argument is its
 * folder.
 */

const [, program = '', folder = ''] = process.argv
/** Hash of the program's own file: another hash is another version. */
const version = createHash('sha256').update(readFileSync(program)).digest('hex').slice(0, 16)
/**
 * Runs the proxy. It continues the earlier counts: a process before this one may have ended in the middle of an answer.
 */
async function run(): Promise<void> {
  const prices = pricesFrom(setting(process.env, 'ERRAND_MODEL_PRICES'))
  await runProxy({
    folder,
    version,
    models: (endpointFolder) => new ModelProxy({ log: readSince(endpointFolder, 0).lines, prices }),
  })
}

run().catch((error: Error) => {
  console.error(error instanceof ErrandError ? messageWithHint(error) : error)
  process.exit(1)
})
