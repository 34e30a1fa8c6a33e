import { join } from 'node:path'
import { lockHolder } from '../pid-lock.ts'
import { type Check, ok, type Place, warning } from './check.ts'

export const staleLocks: Check = {
  name: 'locks',
  async run({ data, workspace }: Place) {
    const files = [join(data, 'lock'), join(workspace, 'lock')]
    const stale = files.flatMap((file) => {
      const holder = lockHolder(file)
      return holder !== undefined && !holder.alive ? [{ file, pid: holder.pid }] : []
    })
    if (stale.length === 0) return [ok('No lock is left of a process that has ended.')]
    return stale.map(({ file, pid }) =>
      warning(
        `${file} is left of process ${pid}, which did not end in order.`,
        'Nothing needs to be done: the next start takes it over and goes on with what was running.',
      ),
    )
  },
}
