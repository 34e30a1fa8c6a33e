import { testKills } from './killed-boxes.ts'

await testKills('container')
