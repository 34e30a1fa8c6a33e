import type { TestContext } from 'node:test'
import type { Front } from './front.ts'
import { type Manner, manners } from './manners.ts'

export interface Through {
  /** Stands before the service. */
  front: Pick<Front, 'set' | 'release'>
  /** Uses the service while it is spoiled, and checks what is said of it, and that nothing counts as done that was not taken. */
  spoiled(manner: Manner): Promise<void>
  /** Checks that hub and runner live, and do what needs nothing of it. */
  works(): Promise<void>
  /** Uses the service, or waits for what was to be done: it answers well again, and nothing was restarted. */
  mended(manner: Manner): Promise<void>
  /** Manners that are no failure for this service, with the reason. */
  except?: Partial<Record<Manner, string>>
}

/** Has an outside service fail in every manner, one after the other, each until it is well again. */
export async function throughManners(t: TestContext, name: string, through: Through): Promise<void> {
  const { front, spoiled, works, mended, except = {} } = through
  for (const manner of manners.filter((each) => except[each] === undefined))
    await t.test(`${name}: ${manner}`, async () => {
      await front.set(manner)
      await spoiled(manner)
      await works()
      // By now its client has given up.
      front.release()
      await front.set('well')
      await mended(manner)
    })
}
