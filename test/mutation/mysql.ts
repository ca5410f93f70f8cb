import './all.ts'
