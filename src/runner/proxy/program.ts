import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setting } from '../../config/read-setting.ts'
import { ErrandError, messageWithHint } from '../../contract/errors.ts'
import { ModelDoor } from './model-door.ts'
import { pricesFrom } from './prices.ts'
import { runProxy } from './server.ts'
import { readTold } from './telling.ts'

/** Where the proxy of a runner starts: a program of its own, so that it outlives whoever has started it. Its argument is its folder. */

const [, program = '', folder = ''] = process.argv
/** The program's own file: one that differs is another version. */
const version = createHash('sha256').update(readFileSync(program)).digest('hex').slice(0, 16)
/** Counts on from what was told before: a process before this one may have been ended in the middle of an answer. */
async function run(): Promise<void> {
  const prices = pricesFrom(setting(process.env, 'ERRAND_MODEL_PRICES'))
  await runProxy({
    folder,
    version,
    models: (door) => new ModelDoor({ told: readTold(door, 0).lines, prices }),
  })
}

run().catch((error: Error) => {
  console.error(error instanceof ErrandError ? messageWithHint(error) : error)
  process.exit(1)
})
