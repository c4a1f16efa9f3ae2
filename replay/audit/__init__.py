"""Audits: is the record true, is it whole, are the outputs still those it names?"""
