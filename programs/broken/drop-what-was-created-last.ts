import { simple } from './simple.ts'

export default simple('drops what was created last')
