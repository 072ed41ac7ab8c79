/*
 * The sentences about materials in the language of the page.
 */
import { useLanguage, type Lang } from '.'
import { materialsEn } from './materials_en'
import { materialsVi, type MaterialsWords } from './materials_vi'

export const MATERIALS: Readonly<Record<Lang, MaterialsWords>> = {
  vi: materialsVi,
  en: materialsEn,
}

export const useMaterialsWords = (): MaterialsWords => MATERIALS[useLanguage().lang]
