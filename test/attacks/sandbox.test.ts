import { testAttacks } from './attacks.ts'

await testAttacks('sandbox')
